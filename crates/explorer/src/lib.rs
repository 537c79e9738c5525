//! The explorer: looking at a trained model while it answers.
//!
//! A report shows what was chosen beforehand. The explorer is to answer questions that come up while looking: what lies between these two
//! images, what does this dimension do, which images sit in this corner of the latent plane. It will be what `elbo serve RUN...` starts: an HTTP API over
//! saved runs ([`elbo::experiment::Trained`]) and one web page on top of it.
//!
//! **There is nothing here yet.** The crate exists so that its place is fixed: above the library, below the command, with a server's
//! dependencies kept out of both. What it will hold itself to:
//!
//! - it only reads: a run directory is the same before and after;
//! - it listens on the loopback address unless told otherwise, and no request names a file;
//! - queues are bounded, every request has a deadline, and what is too much is refused at once instead of waiting;
//! - the page is part of the binary and fetches nothing from anywhere else.
//!
//! Until then, `elbo report`, `elbo compare` and the picture commands draw everything as files.
