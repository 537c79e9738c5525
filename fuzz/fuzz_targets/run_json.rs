//! Any bytes as `run.json` and as lines of `metrics.jsonl`: refused, or read to facts that come back from what is written of them.

#![no_main]

use std::path::Path;

use elbo::run::directory::read_info;
use elbo::run::history::EpochRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("run.json");
    if let Ok(info) = read_info(bytes, path) {
        let written = serde_json::to_vec_pretty(&info).expect("facts become JSON");
        assert_eq!(read_info(&written, path).expect("what was written is read"), info);
    }
    if let Ok(record) = serde_json::from_slice::<EpochRecord>(bytes) {
        let written = serde_json::to_vec(&record).expect("numbers become JSON");
        assert_eq!(serde_json::from_slice::<EpochRecord>(&written).expect("what was written is read"), record);
    }
});
