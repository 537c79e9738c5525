// The views: key in the address, title, and what each asks of the run it shows (see needs.js).
export const VIEWS = [
  ["runs", "Runs", []],
  ["training", "Training", []],
  ["map", "Latent map", ["pictures", "encode", "decode"]],
  ["knobs", "Knobs", ["pictures", "decode"]],
  ["codebook", "Codebook", ["pictures", "codes"]],
  ["make", "Make", ["pictures", "draw", "source"]],
  ["try", "Try", ["pictures", "redraw", "score"]],
  ["compare", "Compare", []],
];

/** Views of one run's model, as links beside it. */
export const OF_A_MODEL = VIEWS.filter(([, , needs]) => needs.length > 0);
