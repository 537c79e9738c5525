//! What the KL curve of a variational autoencoder means, told beside it.
//!
//! The four phases are a way to read the curve, not a law: where one ends and the next begins depends on the network,
//! on beta and on its warm-up, and small networks pass the first two within one epoch. The text says so, and adds one
//! sentence about the run at hand that is computed from its history alone.

use super::page::{escape, number};
use crate::run::history::EpochRecord;

/// A total KL below this many nats says that nothing passes through the latent space.
const COLLAPSED_NATS: f64 = 0.05;

/// A change of the KL over the last quarter of training below this share counts as settled.
const SETTLED_SHARE: f64 = 0.02;

/// Share of its highest value below which a learning rate is as good as spent.
const SPENT_SHARE: f64 = 0.1;

/// Deviations of the noise between epochs that a change must exceed to be a trend.
const NOISE_DEVIATIONS: f64 = 3.0;

/// The explanation as safe HTML: sketch, sentence about this run, phases, and what to do when it goes wrong.
pub(super) fn explanation(history: &[EpochRecord]) -> String {
    let phases: String = PHASES.iter().map(|(name, text)| format!("<li><strong>{name}</strong> {text}</li>")).collect();
    let remedies: String =
        REMEDIES.iter().map(|(sign, text)| format!("<div><dt>{sign}</dt><dd>{text}</dd></div>")).collect();
    let reading =
        reading(history).map_or_else(String::new, |text| format!("<p class=\"reading\">{}</p>", escape(&text)));
    format!(
        "<h3>Reading the KL curve</h3>{reading}<div class=\"phases\"><div class=\"sketch\">{SKETCH}\
         <p>A sketch, not this run: on a small network phases 1 and 2 often pass within the first epoch, before the \
         first point of the curve.</p></div><ol>{phases}</ol></div>\
         <h3>When it goes wrong</h3><dl class=\"remedies\">{remedies}</dl>"
    )
}

const PHASES: [(&str, &str); 4] = [
    (
        "The start.",
        "With fresh weights the encoder answers nearly the same for every image, and close to the prior, so the KL is \
         small. Almost all of the gradient comes from the reconstruction; the decoder learns the average image.",
    ),
    (
        "The rise.",
        "The encoder finds that telling images apart saves far more reconstruction than it costs. Means spread out, \
         sigmas fall below 1, and the KL climbs quickly.",
    ),
    (
        "The trade-off.",
        "The reconstruction keeps improving, more slowly. Each further nat of KL must pay for itself: it stays only \
         if it saves at least beta nats of reconstruction. The KL flattens, or it overshoots and relaxes a little \
         while the code gets tidier.",
    ),
    (
        "The plateau.",
        "Both terms settle and their sum hardly moves. From here on watch the gap between train and validation: \
         when only train still improves, the model has begun to memorise.",
    ),
];

const REMEDIES: [(&str, &str); 3] = [
    (
        "KL stays near 0",
        "Posterior collapse: the decoder ignores z, all reconstructions look like the average image. Let information \
         in before it is taxed, <code>--set loss.warmup_epochs=10</code>, or tax it less, \
         <code>--set loss.beta=0.5</code>.",
    ),
    (
        "KL low, pictures blurred",
        "Over-regularised: few dimensions are active and the reconstruction stays well above that of a smaller beta. \
         Lower it: <code>--set loss.beta=0.5</code>.",
    ),
    (
        "KL high, samples poor",
        "Too little regularisation: reconstructions are good, but the codes leave the region that N(0, I) draws from. \
         Raise it: <code>--set loss.beta=2</code>.",
    ),
];

/// One sentence about where the KL of this run stands, or `None` before the first epoch.
fn reading(history: &[EpochRecord]) -> Option<String> {
    let (first, last) = (history.first()?, history.last()?);
    let (start, end) = (first.judged().get("kl")?, last.judged().get("kl")?);
    if !end.is_finite() {
        return Some(format!("This run: the KL at epoch {} is not finite, so training has diverged.", last.epoch));
    }
    let from = match history.len() {
        1 => String::new(),
        _ => format!(" (it was {} after epoch {})", number(start), first.epoch),
    };
    Some(format!(
        "This run: {} nats of KL after epoch {}{from}, with beta {}. {}",
        number(end),
        last.epoch,
        last.beta.map_or_else(|| "1".into(), |beta| beta.to_string()),
        verdict(history, end)
    ))
}

fn verdict(history: &[EpochRecord], end: f64) -> &'static str {
    if end < COLLAPSED_NATS {
        return "That is next to nothing: the latent space is not used, see “KL stays near 0” below.";
    }
    if history.len() < 4 {
        return "Too few epochs to say more.";
    }
    let earlier = history[history.len() * 3 / 4 - 1].judged().get("kl").unwrap_or(f64::NAN);
    let rate = |record: &EpochRecord| record.learning_rate;
    let highest = history.iter().map(rate).fold(0.0, f64::max);
    let spent = history.last().is_some_and(|last| rate(last) < SPENT_SHARE * highest);
    match (end - earlier) / end {
        change if change.abs() <= SETTLED_SHARE => "It has settled: the plateau of phase 4.",
        _ if (end - earlier).abs() <= NOISE_DEVIATIONS * noise(history) => {
            "It moves no more than from one epoch to the next: the plateau of phase 4."
        }
        change if change > 0.0 && spent => {
            "It rose while the learning rate ran out: what is left of the rate moves little, so more epochs pay only with a schedule over more of them."
        }
        change if change > 0.0 => "It is still rising, so more epochs may pay.",
        change if change < 0.0 => "It has passed its peak and is relaxing: the later part of phase 3.",
        _ => "An earlier value is not finite, so there is no trend to read.",
    }
}

/// How much the KL scatters from epoch to epoch around its trend, over the last half of training, in nats: second differences of noise of deviation
/// s have the deviation `sqrt(6) s`.
fn noise(history: &[EpochRecord]) -> f64 {
    let late: Vec<f64> = history[history.len() / 2..].iter().filter_map(|record| record.judged().get("kl")).collect();
    let bends: Vec<f64> = late.windows(3).map(|kl| kl[0] - 2.0 * kl[1] + kl[2]).collect();
    let squares = bends.iter().map(|bend| bend * bend).sum::<f64>();
    (squares / bends.len().max(1) as f64 / 6.0).sqrt()
}

/// KL rising through the four phases, reconstruction falling. Colours come from the style sheet.
const SKETCH: &str = "<svg viewBox=\"0 0 320 190\" role=\"img\" aria-label=\"Sketch: reconstruction falls steeply and \
    then slowly; KL starts near zero, rises quickly, flattens and settles\">\
    <g class=\"zones\"><rect x=\"10\" y=\"14\" width=\"44\" height=\"150\"/>\
    <rect x=\"116\" y=\"14\" width=\"100\" height=\"150\"/></g>\
    <g class=\"marks\"><text x=\"32\" y=\"30\">1</text><text x=\"85\" y=\"30\">2</text>\
    <text x=\"166\" y=\"30\">3</text><text x=\"263\" y=\"30\">4</text></g>\
    <path class=\"recon\" d=\"M10 44 C40 52 52 66 66 92 C84 126 110 136 150 142 C200 148 250 150 310 150\"/>\
    <path class=\"kl\" d=\"M10 160 C36 160 48 158 60 144 C76 124 88 88 116 76 C140 66 170 66 216 72 \
    C250 76 280 76 310 76\"/>\
    <text class=\"recon-name\" x=\"224\" y=\"142\">recon</text><text class=\"kl-name\" x=\"224\" y=\"64\">KL</text>\
    <path class=\"axis\" d=\"M10 14 V164 H310\"/><text class=\"axis-name\" x=\"310\" y=\"182\">training</text></svg>";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::history::Means;

    fn history(kl: &[f64]) -> Vec<EpochRecord> {
        let record = |(index, kl): (usize, &f64)| {
            let train = Means::of([("recon", 90.0), ("kl", *kl), ("loss", 90.0 + kl)]);
            EpochRecord { beta: Some(1.0), ..EpochRecord::new(index + 1, index, 1e-3, train) }
        };
        kl.iter().enumerate().map(record).collect()
    }

    #[test]
    fn the_reading_follows_the_curve() {
        let cases: [(&[f64], &str); 7] = [
            (&[12.0, 20.0, 24.0, 25.0, 25.4, 25.5, 25.6, 25.6], "settled"),
            (&[5.0, 9.0, 14.0, 18.0, 21.0, 24.0, 26.0, 28.0], "still rising"),
            (&[12.0, 30.0, 29.0, 28.0, 27.0, 26.0, 25.0, 24.0], "relaxing"),
            (&[0.4, 0.02, 0.01, 0.01], "not used"),
            (&[12.0, 20.0], "Too few"),
            (&[12.0, 20.0, f64::NAN], "diverged"),
            (&[12.0, 20.0, f64::NAN, 3.0], "not finite"),
        ];
        for (kl, expected) in cases {
            let text = reading(&history(kl)).expect("a sentence");
            assert!(text.contains(expected), "{kl:?}: {text}");
        }
        assert_eq!(reading(&[]), None);
    }

    #[test]
    fn a_rise_within_noise_or_without_rate_is_no_promise() {
        // Up and down by 2 nats, ending high.
        let noisy = [20.0, 25.0, 23.0, 25.0, 23.0, 25.0, 23.0, 25.0, 23.0, 25.0, 23.0, 25.0];
        assert!(reading(&history(&noisy)).unwrap().contains("from one epoch to the next"));
        let mut cosine = history(&[5.0, 9.0, 14.0, 18.0, 21.0, 24.0, 26.0, 28.0]);
        cosine.iter_mut().enumerate().for_each(|(i, record)| record.learning_rate = 1e-3 * (1.0 - i as f64 / 7.0));
        let text = reading(&cosine).unwrap();
        assert!(text.contains("rate ran out") && !text.contains("still rising"), "{text}");
    }

    #[test]
    fn the_reading_names_its_numbers() {
        let text = reading(&history(&[12.34, 20.0, 24.0, 25.65])).expect("a sentence");
        assert!(text.contains("25.65 nats of KL after epoch 4 (it was 12.34 after epoch 1), with beta 1."), "{text}");
    }
}
