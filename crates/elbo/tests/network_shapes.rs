//! Every network on images of every size: shapes in and out, the number of parameters, and errors before anything is built.

#[path = "support/families.rs"]
mod families;

use burn::tensor::{Device, Tensor};
use elbo::data::batch::{Batch, Given};
use elbo::models::{Learner, ModelConfig, Setting};
use elbo::networks::{Channels, ConvConfig, MlpConfig, NetworkConfig, Normalization, ResnetConfig, most_halvings};
use elbo::run::parameters;
use elbo::tensors::values_of;
use families::{Task, setting, table, with_model};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const SIDES: [[usize; 2]; 14] = [
    [1, 1],
    [1, 2],
    [2, 1],
    [2, 3],
    [5, 7],
    [8, 8],
    [9, 8],
    [28, 28],
    [33, 1],
    [1, 17],
    [61, 47],
    [40, 3],
    [32, 32],
    [112, 92],
];

fn every_norm() -> [Normalization; 3] {
    [Normalization::Batch, Normalization::Group, Normalization::None]
}

/// The number of every layer's weights and biases, from the module's names.
fn counted(model: &impl Learner, layer: &str) -> u128 {
    let own = |name: &str| name.strip_prefix(layer).is_some_and(|rest| [".weight", ".bias"].contains(&rest));
    let shapes = parameters::shapes(model);
    shapes.iter().filter(|(name, _)| own(name)).map(|(_, shape)| shape.iter().product::<usize>() as u128).sum()
}

/// A batch through the model, and its size against what is told before it is built.
fn check(kind: &str, network: &NetworkConfig, shape: [usize; 3]) {
    let config = table(kind, "latent = 3");
    let setting = Setting { classes: 4, ..setting(shape, network) };
    config.check_setting(&setting).unwrap_or_else(|error| panic!("{network:?} on {shape:?}: {error}"));
    with_model(&config, &setting, 0, Check { config: &config, setting: &setting });
}

struct Check<'a> {
    config: &'a ModelConfig,
    setting: &'a Setting<'a>,
}

impl Task for Check<'_> {
    type Output = ();

    fn with<L: Learner + 'static>(self, model: L) {
        let (shape, place) = (self.setting.space.shape, format!("{:?}", self.setting));
        let rows = self.config.layers(self.setting);
        // Burn's own count has running statistics in it, which are no parameters.
        let running = parameters::shapes(&model).into_iter().filter(|(name, _)| name.contains("running"));
        let running: usize = running.map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let learned = (model.num_params() - running) as u128;
        assert_eq!(learned, self.config.parameters(self.setting), "{place}");
        for row in &rows {
            assert_eq!(row.parameters, counted(&model, &row.name), "{} of {place}", row.name);
        }

        let (values, device) = (shape.iter().product(), Device::default());
        let given = if model.needs().class { Given::of_class(1, 2, &device) } else { Given::default() };
        let batch = Batch { x: (Tensor::<2>::ones([2, values], &device) * 0.3).into(), given };
        let code = model.encoder().unwrap().encode(&batch).mean();
        assert_eq!(code.dims(), [2, 3]);
        let observe = model.decoder().unwrap().observation().unwrap();
        let logits = observe.parameters(&[code.into()], &batch.given);
        assert_eq!(logits.dims(), [2, values], "{place}");
        assert!(values_of(logits).iter().all(|v| v.is_finite()), "{place}");
        let last = rows.iter().rfind(|row| row.name.starts_with("decoder")).unwrap();
        assert_eq!(last.output, if last.output.len() == 1 { vec![values] } else { shape.to_vec() });
    }
}

#[test]
fn auto_takes_images_of_every_size() {
    for (i, [height, width]) in SIDES.into_iter().enumerate() {
        // Shared out among the sizes: each norm and the families meet each kind of network.
        let (norm, kind) = (every_norm()[i % 3], ["vae", "ae", "cvae"][i / 3 % 3]);
        let shape = [[1, 3, 2][i % 3], height, width];
        check(kind, &NetworkConfig::Conv(ConvConfig { norm, ..Default::default() }), shape);
        check(kind, &NetworkConfig::Resnet(ResnetConfig { norm, blocks: 1, ..Default::default() }), shape);
    }
}

#[derive(Debug, Clone)]
struct Case {
    kind: &'static str,
    network: NetworkConfig,
    shape: [usize; 3],
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..5, 1usize..20, 1usize..20, prop::collection::vec(1usize..12, 0..4));
    let choices = (0usize..3, 0usize..3, 3usize..6, 0usize..3, prop::collection::vec(1usize..6, 0..3), any::<bool>());
    (sizes, choices).prop_map(|((inputs, height, width, mut channels), (body, norm, kernel, blocks, hidden, vae))| {
        channels.truncate(most_halvings([height, width]));
        let (channels, norm) = (Channels::List(channels), every_norm()[norm]);
        let activation = Default::default();
        let network = match body {
            0 => NetworkConfig::Mlp(MlpConfig { hidden, activation }),
            1 => NetworkConfig::Conv(ConvConfig { channels, kernel, norm, hidden, activation, residual: None }),
            _ => NetworkConfig::Resnet(ResnetConfig { channels, blocks, norm, hidden, activation }),
        };
        Case { kind: if vae { "vae" } else { "ae" }, network, shape: [inputs, height, width] }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(28), ..Default::default() })]

    #[test]
    fn any_network_takes_any_image(case in cases()) {
        check(case.kind, &case.network, case.shape);
    }

    #[test]
    fn tables_read_back_as_themselves(case in cases()) {
        let text = toml::to_string(&case.network).unwrap();
        prop_assert_eq!(toml::from_str::<NetworkConfig>(&text).unwrap(), case.network);
    }

    #[test]
    fn one_layer_too_many_is_refused_by_name(height in 1usize..70, width in 1usize..70, more in 1usize..3) {
        let fits = most_halvings([height, width]);
        let channels = vec![4; fits + more];
        for network in [NetworkConfig::conv(&channels), NetworkConfig::resnet(&channels)] {
            let error = network.check_shape([1, height, width]).unwrap_err();
            let (message, last) = (error.to_string(), format!("layer {}: ", fits + 1));
            prop_assert!(message.contains(&last) && message.ends_with("cannot be halved"), "{}", message);
            prop_assert!(network.check().is_ok() && NetworkConfig::conv(&channels[more..]).check_shape([1, height, width]).is_ok());
        }
    }
}

#[test]
fn operations_of_a_small_network_counted_by_hand() {
    // 1 x 5 x 4, then 3 x 3 x 2.
    let rows = table("vae", "latent = 2").layers(&setting([1, 5, 4], &NetworkConfig::conv(&[3])));
    let found: Vec<_> = rows.iter().map(|r| (r.name.as_str(), r.output.clone(), r.parameters, r.flops)).collect();
    let expected = [
        // 3 x 2 windows of 16 pixels for 3 channels, two operations each; 48 weights and 3 biases.
        ("encoder.layers.0", vec![3, 3, 2], 51, 2 * 6 * 16 * 3),
        ("encoder.norms.0", vec![3, 3, 2], 6, 0),
        ("mean", vec![2], 38, 2 * 18 * 2),
        ("log_var", vec![2], 38, 2 * 18 * 2),
        ("decoder.input", vec![18], 54, 2 * 2 * 18),
        // Each of the 6 pixels adds its 3 channels' windows of 16.
        ("decoder.layers.0", vec![1, 5, 4], 49, 2 * 6 * 16 * 3),
    ];
    assert_eq!(found, expected);
}
