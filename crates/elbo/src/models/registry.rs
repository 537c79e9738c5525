//! Which model: the families, a line each, and the `[model]` table of a recipe that chooses one of them.

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    AeConfig, Architecture, AutoregressiveConfig, Capability, CvaeConfig, IwaeConfig, Learner, LikelihoodKeys,
    MAX_PARAMETERS, MafConfig, ObjectiveConfig, Report, Update, VaeConfig, VqVae2Config, VqVaeConfig,
};
use crate::data::batch::Needs;
use crate::error::{Error, Result};
use crate::networks::{LayerSummary, NetworkConfig, QuantizerConfig};
use crate::reference::{Field, Fields};
use crate::space::Space;

/// What a model is built for: the data, and the tables of the recipe beside `[model]`.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// What is modelled.
    pub space: Space,
    /// Classes of the data; 0 where there are none.
    pub classes: usize,
    /// The body of encoder and decoder: the table `[network]`.
    pub network: &'a NetworkConfig,
    /// Weights of the terms: the table `[loss]`.
    pub loss: &'a ObjectiveConfig,
    /// `[quantizer]`; its defaults where there is none.
    pub quantizer: &'a QuantizerConfig,
}

impl<'a> Setting<'a> {
    /// The tables without data, which stand for pictures of 1 x 64 x 64 with a class: what is checked before data are open.
    pub fn of_tables(network: &'a NetworkConfig, loss: &'a ObjectiveConfig) -> Self {
        Self { space: Space::from([1, 64, 64]), classes: 1, network, loss, quantizer: QuantizerConfig::standard() }
    }

    /// The sizes of a model around one vector code.
    ///
    /// # Errors
    /// As [`LikelihoodKeys::likelihood`].
    pub fn architecture(&self, keys: &LikelihoodKeys) -> Result<Architecture<'a>> {
        let likelihood = keys.likelihood(self.space)?;
        Ok(Architecture { space: self.space, latent: keys.latent, network: self.network, likelihood })
    }
}

/// A family of models: its `[model]` table, what it can do, and how a model is built.
pub trait Family: Clone + std::fmt::Debug + PartialEq + Default + Serialize + DeserializeOwned {
    /// Its name in `model.kind`.
    const KIND: &'static str;
    /// One line about it, for help and pages.
    const ABOUT: &'static str;
    /// What its models can do; a test holds it against a model.
    const CAN: &'static [Capability];
    /// The names of its keys.
    const KEYS: &'static [&'static str];
    /// What training reports, beside the loss.
    const REPORTS: &'static [Report];
    /// The parts of a training step.
    const UPDATES: &'static [Update] = Update::ALL;
    /// What is trained.
    type Learner: Learner + 'static;

    /// Its name in pages, with the settings that make it another model: `IWAE (k = 5)`.
    fn title(&self) -> String;

    /// Whether its codes are described by `[quantizer]`.
    const QUANTIZES: bool = false;

    /// Data large enough for every one of its settings: what a table is checked against before the data are open.
    fn stand_in(&self) -> Space {
        Space::from([1, 64, 64])
    }

    /// Checks the keys against the data and the other tables.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    fn check(&self, setting: &Setting<'_>) -> Result<()>;

    /// What its batches must carry.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// The layers, for a setting that [`Family::check`] has accepted.
    ///
    /// # Errors
    /// As [`Family::check`].
    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>>;

    /// Builds a model with initial weights from `seed`.
    ///
    /// # Errors
    /// As [`Family::check`].
    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Self::Learner>;

    /// The same over codes of these maps, one after another in a row, where the keys say nothing of them.
    fn over_maps(&self, _maps: &[Space]) -> Self {
        self.clone()
    }

    /// The keys of models around one vector code, where it is one.
    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        None
    }
}

/// Something that is done with whichever family a configuration chooses.
pub trait Visit {
    /// What comes of it.
    type Output;

    /// Does it for the family that was chosen.
    fn visit<F: Family>(self, family: &F) -> Self::Output;
}

/// A family as help and pages list it.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct Kind {
    /// Its name in `model.kind`.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What its models can do.
    pub can: &'static [Capability],
    /// The names of its keys.
    #[serde(skip)]
    pub keys: &'static [&'static str],
    /// The same with their documentation.
    #[serde(skip)]
    pub fields: &'static [Field],
}

/// From the list of families to the table that chooses one.
macro_rules! families {
    ($($(#[$attribute:meta])* $name:ident($config:ty),)*) => {
        /// The `[model]` table of a recipe: `kind` and the keys of that family.
        ///
        /// ```
        /// use elbo::models::ModelConfig;
        ///
        /// let config: ModelConfig = toml::from_str("kind = 'ae'\nlatent = 2\nlikelihood = 'sse'").unwrap();
        /// assert_eq!((config.kind(), config.likelihood_keys().unwrap().latent), ("ae", 2));
        /// assert_eq!(ModelConfig::default().kind(), "vae");
        /// ```
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum ModelConfig {
            $(
                #[doc = concat!("[`", stringify!($config), "`].")]
                $(#[$attribute])*
                $name($config),
            )*
        }

        /// The families, in the order of tables.
        pub const KINDS: &[Kind] = &[$(Kind {
            name: <$config as Family>::KIND,
            about: <$config as Family>::ABOUT,
            can: <$config as Family>::CAN,
            keys: <$config as Family>::KEYS,
            fields: <$config as Fields>::FIELDS,
        },)*];

        impl ModelConfig {
            /// Hands the family to a visitor.
            pub fn with<V: Visit>(&self, visitor: V) -> V::Output {
                match self {
                    $(Self::$name(family) => visitor.visit(family),)*
                }
            }

            /// The same for a prior over codes of these maps: what [`Family::over_maps`] makes of it.
            #[must_use]
            pub fn over_maps(&self, maps: &[Space]) -> Self {
                match self {
                    $(Self::$name(family) => Self::$name(family.over_maps(maps)),)*
                }
            }

            /// Reads the table of `kind` from a deserialiser that shows it without the key `kind`.
            pub(super) fn read<'de, D: Deserializer<'de>>(kind: &str, table: D) -> Result<Self, D::Error> {
                match kind {
                    $(<$config as Family>::KIND => <$config>::deserialize(table).map(Self::$name),)*
                    other => Err(super::reading::unknown_kind(other)),
                }
            }
        }

        $(impl From<$config> for ModelConfig {
            fn from(config: $config) -> Self {
                Self::$name(config)
            }
        })*
    };
}

families! {
    Ae(AeConfig),
    Vae(VaeConfig),
    Iwae(IwaeConfig),
    Cvae(CvaeConfig),
    Maf(MafConfig),
    VqVae(VqVaeConfig),
    #[serde(rename = "vq-vae-2")]
    VqVae2(VqVae2Config),
    Autoregressive(AutoregressiveConfig),
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::Vae(VaeConfig::default())
    }
}

impl ModelConfig {
    /// Names of the families, as errors list them.
    pub(crate) fn kinds() -> String {
        let names: Vec<String> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
        format!("one of {}", names.join(", "))
    }

    /// The family's name in `model.kind`.
    pub fn kind(&self) -> &'static str {
        struct Name;
        impl Visit for Name {
            type Output = &'static str;
            fn visit<F: Family>(self, _: &F) -> &'static str {
                F::KIND
            }
        }
        self.with(Name)
    }

    /// What models of the family can do.
    pub fn can(&self) -> &'static [Capability] {
        struct Can;
        impl Visit for Can {
            type Output = &'static [Capability];
            fn visit<F: Family>(self, _: &F) -> &'static [Capability] {
                F::CAN
            }
        }
        self.with(Can)
    }

    /// The model's name in pages: `IWAE (k = 5)`.
    pub fn title(&self) -> String {
        struct Title;
        impl Visit for Title {
            type Output = String;
            fn visit<F: Family>(self, family: &F) -> String {
                family.title()
            }
        }
        self.with(Title)
    }

    /// What batches must carry.
    pub fn needs(&self) -> Needs {
        struct Asked;
        impl Visit for Asked {
            type Output = Needs;
            fn visit<F: Family>(self, family: &F) -> Needs {
                family.needs()
            }
        }
        self.with(Asked)
    }

    /// The keys of models around one vector code, where it is one.
    pub fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        struct Keys;
        impl Visit for Keys {
            type Output = Option<LikelihoodKeys>;
            fn visit<F: Family>(self, family: &F) -> Self::Output {
                family.likelihood_keys()
            }
        }
        self.with(Keys)
    }

    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first bad key of `[model]` or `[network]`.
    pub fn check(&self, network: &NetworkConfig, loss: &ObjectiveConfig) -> Result<()> {
        self.check_tables(network, loss, QuantizerConfig::standard())
    }

    /// The same with a `[quantizer]` of its own.
    ///
    /// # Errors
    /// As [`ModelConfig::check`].
    pub fn check_tables(
        &self,
        network: &NetworkConfig,
        loss: &ObjectiveConfig,
        quantizer: &QuantizerConfig,
    ) -> Result<()> {
        struct CheckTables<'a>(Setting<'a>);
        impl Visit for CheckTables<'_> {
            type Output = Result<()>;
            fn visit<F: Family>(self, family: &F) -> Result<()> {
                family.check(&Setting { space: family.stand_in(), ..self.0 })
            }
        }
        network.check()?;
        self.with(CheckTables(Setting { quantizer, ..Setting::of_tables(network, loss) }))
    }

    /// Whether the family's codes are described by `[quantizer]`.
    pub fn quantizes(&self) -> bool {
        struct Quantizes;
        impl Visit for Quantizes {
            type Output = bool;
            fn visit<F: Family>(self, _: &F) -> bool {
                F::QUANTIZES
            }
        }
        self.with(Quantizes)
    }

    /// The same for data, sizes included, before anything is allocated.
    ///
    /// # Errors
    /// As [`ModelConfig::check`]; for a shape that the network cannot take, a likelihood that means nothing on such data, data without what the
    /// model needs, and more than `MAX_PARAMETERS` (2^30).
    pub fn check_setting(&self, setting: &Setting<'_>) -> Result<()> {
        setting.network.check()?;
        self.with(Check(setting))?;
        setting.network.check_shape(setting.space.shape)?;
        let parameters = self.parameters(setting);
        if parameters > MAX_PARAMETERS {
            let found = format!("{parameters} parameters ({} GiB in training)", (parameters * 16) >> 30);
            let expected = format!("at most {MAX_PARAMETERS} parameters");
            return Err(Error::config(setting.network.widths_key(), expected, found, "choose smaller widths"));
        }
        Ok(())
    }

    /// The layers for a setting that [`ModelConfig::check_setting`] has accepted, from the data on; empty for one that it has not.
    pub fn layers(&self, setting: &Setting<'_>) -> Vec<LayerSummary> {
        struct Layers<'a>(&'a Setting<'a>);
        impl Visit for Layers<'_> {
            type Output = Vec<LayerSummary>;
            fn visit<F: Family>(self, family: &F) -> Self::Output {
                family.layers(self.0).unwrap_or_default()
            }
        }
        self.with(Layers(setting))
    }

    /// Number of weights and biases for a setting that [`ModelConfig::check_setting`] has accepted.
    pub fn parameters(&self, setting: &Setting<'_>) -> u128 {
        self.layers(setting).iter().map(|row| row.parameters).sum()
    }
}

struct Check<'a>(&'a Setting<'a>);

impl Visit for Check<'_> {
    type Output = Result<()>;

    fn visit<F: Family>(self, family: &F) -> Result<()> {
        family.check(self.0)
    }
}
