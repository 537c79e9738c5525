//! The recipes that come with the program: the files of `crates/elbo/recipes/`, compiled in.
//!
//! They lie inside the crate: a package holds nothing else, so it would not build with files from outside.

use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// A built-in recipe.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Recipe {
    /// Its name on the command line.
    pub name: &'static str,
    /// The commented TOML.
    pub text: &'static str,
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        &[$(Recipe { name: $name, text: include_str!(concat!("../../recipes/", $name, ".toml")) }),*]
    };
}

/// All built-in recipes; the first is the default.
///
/// ```
/// for recipe in elbo::recipe::builtin() {
///     println!("{}", recipe.name);
/// }
/// assert_eq!(elbo::recipe::builtin()[0].name, "digits");
/// ```
pub fn builtin() -> &'static [Recipe] {
    recipes![
        "digits",
        "conv",
        "resnet",
        "table",
        "faces",
        "cifar10-conv",
        "mnist-conv",
        "fashion-conv",
        "mnist-bce",
        "mnist-2d",
        "mnist-sse-2d",
        "mnist-sse-16",
        "mnist-ae-2d",
        "mnist-ae-20",
        "mnist-beta4",
        "mnist-beta05",
        "mnist-anomaly",
        "mnist-cvae",
        "mnist-cvae-conv",
        "iwae-short",
        "iwae-paper",
        "maf",
        "two-stage",
        "digits-maf",
        "autoregressive",
        "mnist-vq",
        "mnist-vq2",
        "mnist-fsq",
        "cifar10-vq",
        "faces-vq2",
    ]
}

/// The built-in recipe of this name.
///
/// # Errors
/// [`Error::Config`] listing the names, with a guess at what was meant.
pub fn find(name: &str) -> Result<&'static Recipe> {
    builtin().iter().find(|recipe| recipe.name == name).ok_or_else(|| {
        let names: Vec<_> = builtin().iter().map(|recipe| recipe.name).collect();
        let help = match did_you_mean(name, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`elbo recipes` lists them; a path to a TOML file works too".into(),
        };
        Error::config("recipe", format!("a TOML file or one of {}", names.join(", ")), format!("`{name}`"), help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::StagedLayers;

    #[test]
    fn every_recipe_is_valid_and_named_as_its_file() {
        for recipe in builtin() {
            let stages = StagedLayers::from_text(recipe.name, recipe.text).and_then(StagedLayers::build).unwrap();
            let config = stages.first();
            assert_eq!(config.name, recipe.name);
            assert!(!config.about.is_empty(), "{} says what it is", recipe.name);
        }
    }

    #[test]
    fn a_near_miss_is_guessed() {
        assert_eq!(find("mnist-bc").unwrap_err().help(), "did you mean `mnist-bce`?");
    }
}
