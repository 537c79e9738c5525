//! What the names of arrays say: examples or labels, and of which part.

/// What an array holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// With the place of its word among [`EXAMPLES`]: the smaller, the surer.
    Examples(usize),
    /// Likewise.
    Labels(usize),
}

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartName {
    Train,
    Validation,
    Test,
}

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meant {
    pub role: Role,
    pub part: Option<PartName>,
}

/// Words for examples, in the order in which they are looked for.
pub(super) const EXAMPLES: [&str; 12] =
    ["images", "x", "arr_0", "imgs", "image", "img", "data", "features", "pixels", "samples", "inputs", "input"];
const LABELS: [&str; 8] = ["labels", "y", "label", "targets", "target", "classes", "class", "digits"];

const PARTS: [(&str, PartName); 9] = [
    ("training", PartName::Train),
    ("train", PartName::Train),
    ("testing", PartName::Test),
    ("test", PartName::Test),
    ("validation", PartName::Validation),
    ("valid", PartName::Validation),
    ("val", PartName::Validation),
    ("dev", PartName::Validation),
    ("eval", PartName::Validation),
];

/// Reads a name such as `x_train`, `Y_test`, `train_images`, `trainX` or `labels`; none for any other.
pub(super) fn meant(name: &str) -> Option<Meant> {
    let lower = name.to_lowercase();
    if let Some(role) = role(&lower) {
        return Some(Meant { role, part: None });
    }
    PARTS.iter().find_map(|(word, part)| {
        let rest = lower.strip_prefix(word).or_else(|| lower.strip_suffix(word))?;
        // `train_set_x` of Deep Learning's first courses.
        let rest = rest.trim_matches(['_', '-', '.', ' ']);
        let rest = rest.strip_prefix("set_").or_else(|| rest.strip_suffix("_set")).unwrap_or(rest);
        Some(Meant { role: role(rest)?, part: Some(*part) })
    })
}

fn role(word: &str) -> Option<Role> {
    let place = |words: &[&str]| words.iter().position(|other| *other == word);
    place(&EXAMPLES).map(Role::Examples).or_else(|| place(&LABELS).map(Role::Labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_custom_are_understood() {
        use PartName::{Test, Train, Validation};
        let cases = [
            ("x_train", true, Some(Train)),
            ("X_test", true, Some(Test)),
            ("Y_train", false, Some(Train)),
            ("train_images", true, Some(Train)),
            ("val_labels", false, Some(Validation)),
            ("trainX", true, Some(Train)),
            ("testY", false, Some(Test)),
            ("train_set_x", true, Some(Train)),
            ("imgs", true, None),
            ("targets", false, None),
            ("images.train", true, Some(Train)),
        ];
        for (name, examples, part) in cases {
            let found = meant(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((matches!(found.role, Role::Examples(_)), found.part), (examples, part), "{name}");
        }
        for name in ["latents_classes", "metadata", "train", "training_loss", ""] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
