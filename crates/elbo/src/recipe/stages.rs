//! Recipes of several stages: a run, then priors over its codes.
//!
//! A file of `format = 2` lists them. Each `[[stage]]` has the tables of a recipe, in place or on top of `recipe`; all but the first name in
//! `codes_of` the earlier stage whose codes they are trained on, and may say in `codes` which (`mean` or `sample`). A file of `format = 1` is one
//! stage.
//!
//! ```toml
//! format = 2
//! name = "digits-maf"
//! [[stage]]
//! recipe = "digits"
//! training.epochs = 10
//! [[stage]]
//! recipe = "maf"
//! codes_of = "digits"
//! ```

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::config::RunConfig;
use super::layers::{Layers, recipe_text};
use crate::data::codes::CodesKind;
use crate::error::{Error, Result};

/// Version of a file with several stages.
pub const STAGES_FORMAT: i64 = 2;

/// Most stages accepted.
const MAX_STAGES: usize = 16;

/// A recipe in the making, of one stage or several: the first as [`Layers`], the later ones by their names.
///
/// ```
/// use elbo::recipe::StagedLayers;
///
/// let mut layers = StagedLayers::from_recipe("digits-maf")?;
/// layers.set("maf.training.epochs=5")?; // a stage by its name
/// layers.set("training.epochs=2")?; // the first
/// let stages = layers.build()?;
/// assert_eq!((stages.first().training.epochs, stages.later()[0].name.as_str()), (2, "maf"));
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StagedLayers {
    first: Layers,
    first_name: String,
    later: Vec<Later>,
}

/// A later stage in the making.
#[derive(Debug, Clone)]
struct Later {
    name: String,
    codes_of: String,
    codes: Option<CodesKind>,
    layers: Layers,
}

/// A later stage: its run is `priors/NAME` in that of the stage whose codes it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaterStage {
    /// The name of the stage.
    pub name: String,
    /// The earlier stage whose codes are its data.
    pub codes_of: String,
    /// What stands for an example; what fits the model where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodesKind>,
    /// The tables of its recipe, before they know the size of the codes.
    config: Table,
}

impl LaterStage {
    /// Its recipe, in the making.
    ///
    /// # Errors
    /// [`Error::Config`] for a key that is none.
    pub fn layers(&self) -> Result<Layers> {
        Layers::from_table(&self.config)
    }
}

/// A recipe as stages, the first one complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    first: RunConfig,
    /// The name that later stages call the first one by; `first.name` is that of the whole recipe.
    first_name: String,
    later: Vec<LaterStage>,
}

/// `stages.toml`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StagesFile {
    format: i64,
    stage: Vec<LaterStage>,
}

impl StagedLayers {
    /// Starts from a built-in recipe's name or a path to a TOML file.
    ///
    /// # Errors
    /// As [`Layers::from_recipe`].
    pub fn from_recipe(name: &str) -> Result<Self> {
        let (origin, text) = recipe_text(name)?;
        Self::from_text(&origin, &text)
    }

    /// Starts from TOML text; `origin` is named in errors.
    ///
    /// # Errors
    /// As [`Layers::from_text`]; for stages that do not fit together the error names `stage`.
    pub fn from_text(origin: &str, text: &str) -> Result<Self> {
        let table: Option<Table> = text.parse().ok();
        let Some(table) = table.filter(|table| table.get("format") == Some(&Value::Integer(STAGES_FORMAT))) else {
            let first = Layers::from_text(origin, text)?;
            let first_name = first.clone().build()?.name;
            return Ok(Self { first, first_name, later: Vec::new() });
        };
        Self::from_table(origin, &table)
    }

    fn from_table(origin: &str, table: &Table) -> Result<Self> {
        let known = ["format", "name", "about", "stage"];
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            let help = "the tables of a recipe stand in its `[[stage]]`";
            return Err(Error::config(key, format!("one of {}", known.join(", ")), format!("`{key}`"), help));
        }
        let text = |key: &str| table.get(key).and_then(Value::as_str);
        let stages: Vec<&Table> =
            table.get("stage").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table).collect();
        let Some((first, later)) = stages.split_first().filter(|(_, later)| later.len() < MAX_STAGES) else {
            let expected = format!("1 to {MAX_STAGES} tables `[[stage]]`");
            let help = "each is a recipe of its own: `recipe = \"digits\"`";
            return Err(Error::config("stage", expected, format!("{} in {origin}", stages.len()), help));
        };
        let mut all = Self { first: stage_layers(first)?, first_name: stage_name(first)?, later: Vec::new() };
        if first.contains_key("codes_of") {
            let help = "remove the key, or put the stage that it names before it";
            return Err(Error::config("stage.codes_of", "nothing in the first stage", "an earlier stage", help));
        }
        for (key, value) in [("name", text("name")), ("about", text("about"))] {
            value.map_or(Ok(()), |value| all.first.put(key, value.into()))?;
        }
        for stage in later {
            all.push(stage)?;
        }
        Ok(all)
    }

    /// Adds a stage after those there are.
    fn push(&mut self, stage: &Table) -> Result<()> {
        let (name, mut layers) = (stage_name(stage)?, stage_layers(stage)?);
        layers.put("name", name.clone().into())?;
        let earlier: Vec<&str> = self.names().collect();
        if earlier.contains(&name.as_str()) {
            let help = "give one of them a `name` of its own";
            return Err(Error::config("stage.name", "a name for each stage", format!("`{name}` twice"), help));
        }
        let codes_of = match stage.get("codes_of").and_then(Value::as_str) {
            Some(codes_of) if earlier.contains(&codes_of) => codes_of.to_owned(),
            found => {
                let expected = format!("an earlier stage: {}", earlier.join(", "));
                let found = found.map_or_else(|| format!("none in stage `{name}`"), |found| format!("`{found}`"));
                let help = "all stages but the first are trained on codes of an earlier one";
                return Err(Error::config("stage.codes_of", expected, found, help));
            }
        };
        let codes = stage.get("codes").map(|codes| {
            let help = "leave the key away for what fits the model";
            let read: Result<CodesKind, _> = codes.clone().try_into();
            read.map_err(|_| Error::config("stage.codes", "`mean` or `sample`", codes.to_string(), help))
        });
        self.later.push(Later { name, codes_of, codes: codes.transpose()?, layers });
        Ok(())
    }

    /// Names of the stages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [self.first_name.as_str()].into_iter().chain(self.later.iter().map(|stage| stage.name.as_str()))
    }

    /// The first stage.
    pub fn first_mut(&mut self) -> &mut Layers {
        &mut self.first
    }

    /// Sets `KEY=VALUE` in the first stage, `NAME.KEY=VALUE` in the stage of that name.
    ///
    /// # Errors
    /// As [`Layers::set`].
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let of_stage = |name: &str| assignment.trim().strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        if let Some(stage) = self.later.iter_mut().find(|stage| of_stage(&stage.name)) {
            return stage.layers.set_of_prior(assignment.trim());
        }
        // A file of one stage has tables, whatever its name is.
        match of_stage(&self.first_name) && !self.later.is_empty() {
            true => self.first.set(&assignment.trim()[self.first_name.len() + 1..]),
            false => self.first.set(assignment),
        }
    }

    /// The first stage complete and checked; the later ones checked as far as can be without codes.
    ///
    /// # Errors
    /// As [`Layers::build`].
    pub fn build(self) -> Result<Stages> {
        for stage in &self.later {
            stage.layers.clone().build()?;
        }
        let stage = |stage: Later| LaterStage {
            name: stage.name,
            codes_of: stage.codes_of,
            codes: stage.codes,
            config: stage.layers.into_table(),
        };
        let later = self.later.into_iter().map(stage).collect();
        Ok(Stages { first: self.first.build()?, first_name: self.first_name, later })
    }
}

impl Stages {
    /// One stage alone.
    pub fn of(config: RunConfig) -> Self {
        Self { first_name: config.name.clone(), first: config, later: Vec::new() }
    }

    /// The first stage.
    pub fn first(&self) -> &RunConfig {
        &self.first
    }

    /// The first stage, to be changed.
    pub fn first_mut(&mut self) -> &mut RunConfig {
        &mut self.first
    }

    /// The later stages.
    pub fn later(&self) -> &[LaterStage] {
        &self.later
    }

    pub(crate) fn into_first(self) -> RunConfig {
        self.first
    }

    /// The whole as a recipe: what `elbo train FILE` reads to the same stages.
    pub fn to_toml(&self) -> String {
        let Self { first, first_name, later } = self;
        if later.is_empty() {
            return first.to_toml();
        }
        let whole = table([("name", &first.name), ("about", &first.about)]);
        let own = first.to_toml();
        // Its first lines are those of the whole.
        let tables = own.find("\n[").map_or("", |at| &own[at + 1..]);
        let mut text = format!("format = {STAGES_FORMAT}\n{whole}\n[[stage]]\n{}", table([("name", first_name)]));
        text.push_str(&in_stage(tables));
        for stage in later {
            let codes = stage.codes.map(|codes| codes.to_string());
            let named = [("name", stage.name.as_str()), ("codes_of", &stage.codes_of)];
            let named = named.into_iter().chain(codes.as_deref().map(|codes| ("codes", codes)));
            let mut own = stage.config.clone();
            own.remove("name");
            let own = toml::to_string(&own).expect("tables have a TOML form");
            text.push_str(&format!("\n[[stage]]\n{}{}", table(named), in_stage(&own)));
        }
        text
    }

    /// The later stages as a file beside the first one's run; none if there are none.
    pub fn later_toml(&self) -> Option<String> {
        let file = StagesFile { format: STAGES_FORMAT, stage: self.later.clone() };
        (!self.later.is_empty()).then(|| toml::to_string(&file).expect("tables have a TOML form"))
    }

    /// Reads what [`Stages::later_toml`] gave.
    ///
    /// # Errors
    /// [`Error::Config`] naming `stages`.
    pub fn read_later(text: &str) -> Result<Vec<LaterStage>> {
        let damaged = |found: String| {
            Error::config("stages", "the later stages of a recipe", found, "`elbo train` wrote this file: restore it")
        };
        let file: StagesFile = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
        match file.format {
            STAGES_FORMAT => Ok(file.stage),
            other => Err(damaged(format!("version {other}"))),
        }
    }
}

/// Keys of a `[[stage]]` that are no tables of its recipe.
const OF_STAGES: [&str; 4] = ["recipe", "name", "codes_of", "codes"];

/// Lines `key = "value"`.
fn table<'a, V: AsRef<str> + 'a>(lines: impl IntoIterator<Item = (&'a str, V)>) -> String {
    let line = |(key, value): (&str, V)| format!("{key} = {}\n", Value::from(value.as_ref()));
    lines.into_iter().map(line).collect()
}

/// The text of a recipe's tables, as tables of the `[[stage]]` before it.
fn in_stage(tables: &str) -> String {
    let header = |line: &str| match line.strip_prefix('[') {
        Some(rest) => format!("\n[stage.{rest}\n"),
        None if line.is_empty() => String::new(),
        None => format!("{line}\n"),
    };
    tables.lines().map(header).collect()
}

/// A stage's own name, or that of its recipe or model.
fn stage_name(stage: &Table) -> Result<String> {
    let kind = stage.get("model").and_then(|model| model.get("kind"));
    let name = [stage.get("name"), stage.get("recipe"), kind].into_iter().flatten().find_map(Value::as_str);
    name.map(str::to_owned).ok_or_else(|| {
        let help = "say `recipe = \"digits\"` or `name = \"mine\"`";
        Error::config("stage.name", "a name or a recipe in each `[[stage]]`", "neither", help)
    })
}

/// The recipe that a stage names, with its own tables on top.
fn stage_layers(stage: &Table) -> Result<Layers> {
    let mut layers = match stage.get("recipe").and_then(Value::as_str) {
        Some(recipe) => Layers::from_recipe(recipe)?,
        None => Layers::from_table(&Table::new())?,
    };
    let own = stage.iter().filter(|(key, _)| !OF_STAGES.contains(&key.as_str()));
    own.map(|(key, value)| (key.clone(), value.clone())).try_for_each(|(key, value)| layers.put_all(&key, &value))?;
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "format = 2\nname = \"both\"\n[[stage]]\nrecipe = \"digits\"\ntraining.epochs = 3\n\
                       [[stage]]\nrecipe = \"maf\"\nname = \"flow\"\ncodes_of = \"digits\"\ncodes = \"mean\"\n\
                       model = { kind = \"maf\", blocks = 2 }";

    #[test]
    fn stages_are_recipes_with_changes_and_settings_name_them() {
        let mut layers = StagedLayers::from_text("two.toml", TWO).unwrap();
        assert_eq!(layers.names().collect::<Vec<_>>(), ["digits", "flow"]);
        for setting in ["flow.training.epochs=7", "digits.training.seed=4", "model.latent=3", "flow.hidden=[9]"] {
            layers.set(setting).unwrap();
        }
        let stages = layers.build().unwrap();
        let first = stages.first();
        assert_eq!((first.name.as_str(), first.training.epochs, first.training.seed), ("both", 3, 4));
        let text = stages.later_toml().unwrap();
        let later = Stages::read_later(&text).unwrap();
        assert_eq!(later, stages.later(), "{text}");
        assert_eq!((later[0].codes_of.as_str(), later[0].codes), ("digits", Some(CodesKind::Mean)));
        let config = later[0].layers().unwrap().build().unwrap();
        assert_eq!(config.model, crate::models::MafConfig { blocks: 2, hidden: vec![9] }.into());
        assert_eq!((config.name.as_str(), config.training.epochs), ("flow", 7));
    }

    #[test]
    fn a_recipe_written_out_is_read_as_it_was() {
        let built_in = crate::recipe::builtin();
        let texts = built_in.iter().map(|recipe| (recipe.name, recipe.text)).chain([("two.toml", TWO)]);
        let mut staged = 0;
        for (name, text) in texts {
            let stages = StagedLayers::from_text(name, text).unwrap().build().unwrap();
            let written = stages.to_toml();
            let read = StagedLayers::from_text(name, &written).unwrap_or_else(|error| panic!("{error}\n{written}"));
            let read = read.build().unwrap();
            assert_eq!(read.first(), stages.first(), "{written}");
            for (read, stage) in read.later().iter().zip(stages.later()) {
                assert_eq!((&read.name, &read.codes_of, read.codes), (&stage.name, &stage.codes_of, stage.codes));
                let [read, stage] = [read, stage].map(|stage| stage.layers().unwrap().build().unwrap());
                assert_eq!(read, stage, "{written}");
            }
            assert_eq!(read.later().len(), stages.later().len(), "{written}");
            staged += usize::from(!stages.later().is_empty());
        }
        assert!(staged >= 3, "recipes of several stages: {staged}");
    }

    #[test]
    fn a_file_of_one_stage_is_one() {
        let stages = StagedLayers::from_recipe("digits").unwrap().build().unwrap();
        assert_eq!((stages.first().name.as_str(), stages.later_toml()), ("digits", None));
    }

    #[test]
    fn stages_that_do_not_fit_together_are_told() {
        for (from, to, key) in [
            ("codes_of = \"digits\"", "codes_of = \"digit\"", "stage.codes_of"),
            ("codes_of = \"digits\"", "", "stage.codes_of"),
            ("name = \"flow\"", "name = \"digits\"", "stage.name"),
            ("recipe = \"digits\"", "", "stage.name"),
            ("training.epochs = 3", "codes_of = \"x\"", "stage.codes_of"),
            ("codes = \"mean\"", "codes = \"both\"", "stage.codes"),
            ("blocks = 2", "blcks = 2", "model.blcks"),
            ("name = \"both\"", "nam = \"both\"", "nam"),
            ("[[stage]]", "[[stag]]", "stag"),
        ] {
            let error = StagedLayers::from_text("two.toml", &TWO.replace(from, to)).unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{key}`")), "{to}: {error}");
        }
        assert!(Stages::read_later("format = 3\nstage = []").unwrap_err().to_string().contains("version 3"));
    }
}
