//! The real binary, from outside: what scripts rely on, and what happens when things go wrong.
//!
//! Every test runs `elbo` in a fresh folder with settings so small that a training takes a fraction of a second. Signals, memory limits and
//! `/dev/full` are Unix's, so these tests are too. The numbers D1, T1, M1 and so on are those of the list of faults this project answers for.

#![cfg(unix)]

mod arguments;
mod capabilities;
mod codes;
mod compare;
mod contract;
mod data;
mod data_flags;
mod divergence;
mod edits;
mod eval;
mod files;
mod golden;
mod interruption;
mod manual;
mod meaning;
mod models;
mod pictures;
mod priors_runs;
mod processors;
mod reading;
mod resume;
mod samplers;
mod score;
mod serve;
mod snapshots;
mod strangers;
mod support;
mod tables;
mod walks;
mod whole;
