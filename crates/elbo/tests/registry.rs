//! The list of families against what its models are: names, capabilities, keys, terms and updates; and every configuration reads back as itself.

#[path = "support/families.rs"]
mod families;

use elbo::models::{
    Capability, Family, KINDS, Kind, Learner, LikelihoodName, ModelConfig, ObjectiveConfig, Report, Setting, Update,
    Visit,
};
use elbo::networks::NetworkConfig;
use elbo::recipe::{self, Layers, RunConfig};
use elbo::space::{Domain, Space};
use families::{Task, table, with_model};

const SPACE: [usize; 3] = [1, 8, 8];

fn networks() -> [NetworkConfig; 3] {
    [NetworkConfig::mlp(&[6]), NetworkConfig::conv(&[3]), NetworkConfig::resnet(&[3])]
}

fn setting(network: &NetworkConfig) -> Setting<'_> {
    Setting { classes: 4, ..families::setting(SPACE, network) }
}

/// The families whose code is a vector of `latent` numbers.
fn with_latent() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| kind.keys.contains(&"latent"))
}

/// What a built model says of itself.
struct Said {
    can: Vec<Capability>,
    reports: &'static [Report],
    updates: &'static [Update],
    needs_class: bool,
    space: Space,
}

struct Ask;

impl Task for Ask {
    type Output = Said;

    fn with<L: Learner + 'static>(self, model: L) -> Said {
        let needs_class = model.needs().class;
        let (reports, updates, space) = (model.reports(), model.updates(), model.space());
        let model: Box<dyn elbo::models::Model> = Box::new(model);
        Said { can: Capability::of(model.as_ref()), reports, updates, needs_class, space }
    }
}

/// What its family says of it before it is built.
struct Declared;

impl Visit for Declared {
    type Output = (&'static [Capability], &'static [Report], &'static [Update]);

    fn visit<F: Family>(self, _: &F) -> Self::Output {
        (F::CAN, F::REPORTS, F::UPDATES)
    }
}

#[test]
fn a_model_is_what_its_family_declares() {
    assert!(KINDS.len() >= 5 && with_latent().count() >= 4);
    for kind in KINDS {
        // What is over codes knows neither pictures nor networks.
        let symbols = Space::new([1, 2, 3], Domain::Index { of: 5 });
        let (space, classes, lines) = match kind.name {
            "maf" => (Space::vector(6), 4, "hidden = [4]"),
            "autoregressive" => (symbols, 0, "width = 8\nheads = 2\nlayers = 1"),
            "vq-vae" | "vq-vae-2" => (Space::from(SPACE), 4, ""),
            _ => (Space::from(SPACE), 4, "latent = 2"),
        };
        for network in networks() {
            let config = table(kind.name, lines);
            let setting = Setting { space, classes, ..setting(&network) };
            let said = with_model(&config, &setting, 0, Ask);
            let (can, reports, updates) = config.with(Declared);
            assert_eq!((said.can.as_slice(), kind.can, config.can()), (can, can, can), "{}", kind.name);
            assert_eq!((said.reports, said.updates), (reports, updates), "{}", kind.name);
            assert_eq!(said.needs_class, config.needs().class, "{}", kind.name);
            assert_eq!(said.space, space, "{}", kind.name);
        }
    }
}

/// What the families can do today, so that a capability that is lost shows.
#[test]
fn families_can_what_they_could() {
    use Capability::{Bound, Decode, Encode, Observe, Prior};
    let vae: &[Capability] = &[Encode, Decode, Prior, Observe, Bound];
    let expected = [
        ("ae", &[Encode, Decode, Observe][..]),
        ("vae", vae),
        ("iwae", vae),
        ("cvae", vae),
        ("maf", &[Capability::Density, Capability::Generate]),
        ("vq-vae", &[Encode, Decode, Observe, Capability::Discrete]),
        ("vq-vae-2", &[Encode, Decode, Observe, Capability::Discrete]),
        ("autoregressive", &[Capability::Density, Capability::Generate]),
    ];
    for (name, can) in expected {
        assert_eq!(table(name, "").can(), can, "{name}");
    }
}

#[test]
fn kinds_are_the_tags_of_their_tables() {
    for kind in KINDS {
        let config = table(kind.name, "");
        let written = toml::Table::try_from(&config).expect("a table");
        assert_eq!((written["kind"].as_str(), config.kind()), (Some(kind.name), kind.name));
        assert_eq!(KINDS.iter().filter(|other| other.name == kind.name).count(), 1, "{} once", kind.name);
        assert!(!kind.about.is_empty() && !config.title().is_empty());
        // Each key that is written is declared; those that are not are optional.
        for key in written.keys().filter(|key| *key != "kind") {
            assert!(kind.keys.contains(&key.as_str()), "{}.{key}", kind.name);
        }
    }
}

/// Tables with every key of the family at a value that is not its default, where the keys go together.
fn tables() -> Vec<ModelConfig> {
    let common = "latent = 3\ninitial = 'glorot'";
    let mut tables = vec![
        table("vae", &format!("{common}\nsamples = 4\noutput_bias = 'data-mean'")),
        table("iwae", &format!("{common}\nsamples = 5\ndreg = true")),
        table("cvae", &format!("{common}\nsamples = 2")),
        table("maf", "blocks = 3\nhidden = [7, 9]"),
    ];
    tables.extend(KINDS.iter().map(|kind| table(kind.name, "")));
    for kind in with_latent() {
        tables.extend([
            table(kind.name, &format!("{common}\nlikelihood = 'gaussian'\nsigma = 0.125")),
            table(kind.name, &format!("{common}\nlikelihood = 'laplace'\nscale = 0.5")),
            table(kind.name, &format!("{common}\nlikelihood = 'logistic-mixture'\ncomponents = 3")),
            table(kind.name, &format!("{common}\nlikelihood = 'edge'\nweight = 2.5")),
        ]);
    }
    tables
}

#[test]
fn tables_read_back_as_themselves() {
    for config in tables() {
        let text = toml::to_string(&config).expect("TOML");
        assert_eq!(toml::from_str::<ModelConfig>(&text).expect("a table"), config, "{text}");
        let json = serde_json::to_string(&config).expect("JSON");
        assert_eq!(serde_json::from_str::<ModelConfig>(&json).expect("an object"), config, "{json}");
        let whole = RunConfig { model: config, name: "x".into(), ..Default::default() };
        let text = whole.to_toml();
        assert_eq!(toml::from_str::<RunConfig>(&text).expect("a configuration"), whole, "{text}");
    }
}

#[test]
fn a_table_without_a_kind_is_a_vaes() {
    assert_eq!(toml::from_str::<ModelConfig>("").unwrap(), ModelConfig::default());
    assert_eq!(toml::from_str::<ModelConfig>("latent = 7").unwrap(), table("vae", "latent = 7"));
    // `kind` may come last: the keys before it are read as its own.
    assert_eq!(toml::from_str::<ModelConfig>("dreg = true\nkind = 'iwae'").unwrap(), table("iwae", "dreg = true"));
}

#[test]
fn every_recipe_reads_back_as_itself() {
    let recipes: Vec<_> = recipe::builtin().iter().collect();
    assert!(recipes.len() >= 17, "{}", recipes.len());
    for recipe in recipes {
        if recipe.text.contains("[[stage]]") {
            continue; // Each of its stages is a recipe of this list.
        }
        let config =
            Layers::from_recipe(recipe.name).unwrap().build().unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
        let text = config.to_toml();
        assert_eq!(toml::from_str::<RunConfig>(&text).expect("a configuration"), config, "{}", recipe.name);
        let again = Layers::from_text("config.toml", &text).unwrap().build().unwrap();
        assert_eq!((again.to_toml(), &again), (text, &config), "{}", recipe.name);
    }
    let config = RunConfig { name: "default".into(), ..Default::default() };
    assert_eq!(toml::from_str::<RunConfig>(&config.to_toml()).unwrap(), config);
}

/// A mistake in a file: its line and what stands there.
fn in_file(model: &str) -> String {
    let text = format!("name = \"x\"\n\n[training]\nepochs = 3\n\n[model]\n{model}\n");
    let layers = Layers::from_text("mine.toml", &text);
    layers.and_then(|layers| layers.build().map(|_| ())).expect_err(model).to_string()
}

/// A mistake on the command line.
fn set(assignments: &[&str]) -> elbo::Error {
    let mut layers = Layers::from_text("test", "").unwrap();
    let set = assignments.iter().try_for_each(|assignment| layers.set(assignment));
    set.and_then(|()| layers.build().map(|_| ())).expect_err("a mistake")
}

#[test]
fn mistakes_in_the_table_of_a_model_keep_their_line_and_key() {
    for kind in with_latent().map(|kind| kind.name) {
        for (lines, place, words) in [
            (format!("kind = \"{kind}\"\nlatnet = 3"), "`mine.toml:8`", "latnet"),
            (format!("kind = \"{kind}\"\nlatent = -3"), "`mine.toml:8`", "latent"),
            (format!("latent = 2\nlikelihood = \"poisson\"\nkind = \"{kind}\""), "`mine.toml:8`", "poisson"),
            (format!("latent = \"two\"\nkind = \"{kind}\""), "`mine.toml:7`", "two"),
        ] {
            let error = in_file(&lines);
            assert!(error.starts_with(place) && error.contains(words), "{kind}: {error}");
        }
        let kind = format!("model.kind={kind}");
        for (assignment, key, help) in [
            ("model.latnet=3", "`model.latnet`", "model.latent"),
            ("model.latent=-3", "`model.latent`", ""),
            ("model.likelihood=poisson", "`model.likelihood`", ""),
        ] {
            let error = set(&[&kind, assignment]);
            assert!(
                error.to_string().starts_with(key) && error.help().contains(help),
                "{kind}: {error}: {}",
                error.help()
            );
        }
    }
}

#[test]
fn mistakes_in_the_table_of_a_flow_keep_their_line_and_key() {
    for (lines, place, words) in [
        ("kind = \"maf\"\nblock = 3", "`mine.toml:8`", "block"),
        ("blocks = -3\nkind = \"maf\"", "`mine.toml:7`", "-3"),
        ("kind = \"maf\"\nlatent = 2", "`mine.toml:8`", "latent"),
    ] {
        let error = in_file(lines);
        assert!(error.starts_with(place) && error.contains(words), "{error}");
    }
    for (assignment, key) in [("model.block=3", "`model.block`"), ("model.blocks=0", "`model.blocks`")] {
        let error = set(&["model.kind=maf", assignment]);
        assert!(error.to_string().starts_with(key), "{error}");
    }
}

#[test]
fn an_unknown_kind_keeps_its_line_and_key_and_lists_those_there_are() {
    for lines in ["latent = 2\nkind = \"gan\"", "dreg = true\nkind = \"gan\""] {
        let error = in_file(lines);
        assert!(error.starts_with("`mine.toml:") && error.contains("gan"), "{error}");
    }
    assert!(in_file("kind = \"gan\"").starts_with("`mine.toml:7`"));
    let error = set(&["model.kind=gan"]);
    assert!(error.to_string().starts_with("`model.kind`"), "{error}");
    for kind in KINDS {
        assert!(error.to_string().contains(&format!("`{}`", kind.name)), "{error}");
    }
}

/// A key of another family is one that this family does not know.
#[test]
fn keys_of_other_families_are_refused() {
    let error = in_file("kind = \"vae\"\ndreg = true");
    assert!(error.starts_with("`mine.toml:8`") && error.contains("dreg"), "{error}");
    let error = set(&["model.kind=vae", "model.dreg=true"]);
    assert!(error.to_string().starts_with("`model.dreg`"), "{error}");
}

#[test]
fn needs_are_held_against_the_setting() {
    let network = NetworkConfig::mlp(&[6]);
    let without = families::setting(SPACE, &network);
    let error = table("cvae", "latent = 2").check_setting(&without).unwrap_err();
    assert!(error.to_string().starts_with("`model.kind`"), "{error}");
    assert!(table("cvae", "latent = 2").check_setting(&setting(&network)).is_ok());
    assert!(table("vae", "latent = 2").check_setting(&without).is_ok());
    // `iwae` minimises its own bound: weights of a KL term mean nothing to it.
    let weighted = ObjectiveConfig { beta: 2.0, ..Default::default() };
    let error = table("iwae", "latent = 2").check_setting(&Setting { loss: &weighted, ..without }).unwrap_err();
    assert!(error.to_string().starts_with("`loss`"), "{error}");
    assert_eq!(table("vae", "").likelihood_keys().unwrap().likelihood, LikelihoodName::Bernoulli);
}
