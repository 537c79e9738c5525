//! Every network on images of every size: shapes in and out, the number of parameters, and errors before anything is built.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elbo::models::{AnyModel, Model, ModelConfig, ModelKind};
use elbo::networks::{Channels, ConvConfig, MlpConfig, NetworkConfig, Normalization, ResnetConfig, most_halvings};
use elbo::run::parameters;
use elbo::tensors::values_of;
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
fn counted(model: &AnyModel, layer: &str) -> u128 {
    let own = |name: &str| name.strip_prefix(layer).is_some_and(|rest| [".weight", ".bias"].contains(&rest));
    let shapes = parameters::shapes(model);
    shapes.iter().filter(|(name, _)| own(name)).map(|(_, shape)| shape.iter().product::<usize>() as u128).sum()
}

/// A batch through the model, and its size against what is told before it is built.
fn check(kind: ModelKind, network: &NetworkConfig, shape: [usize; 3]) {
    let config = ModelConfig { kind, latent: 3, ..Default::default() };
    config.check_shape(network, shape).unwrap_or_else(|error| panic!("{network:?} on {shape:?}: {error}"));
    let model = config.init(network, shape, 0, &Device::default()).unwrap();
    let rows = config.summary(network, shape);
    // Burn's own count has running statistics in it, which are no parameters.
    let running = parameters::shapes(&model).into_iter().filter(|(name, _)| name.contains("running"));
    let running: usize = running.map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let learned = (model.num_params() - running) as u128;
    assert_eq!(learned, config.parameters(network, shape), "{network:?} on {shape:?}");
    for row in &rows {
        assert_eq!(row.parameters, counted(&model, &row.name), "{} of {network:?} on {shape:?}", row.name);
    }

    let values = shape.iter().product();
    let x = Tensor::<2>::ones([2, values], &Device::default()) * 0.3;
    let code = model.encode(x);
    assert_eq!(code.mean.dims(), [2, 3]);
    let logits = model.decode(code.mean);
    assert_eq!(logits.dims(), [2, values], "{network:?} on {shape:?}");
    assert!(values_of(logits).iter().all(|v| v.is_finite()), "{network:?} on {shape:?}");
    let last = if rows.last().unwrap().output.len() == 1 { vec![values] } else { shape.to_vec() };
    assert_eq!(rows.last().unwrap().output, last);
}

#[test]
fn auto_takes_images_of_every_size() {
    for (i, [height, width]) in SIDES.into_iter().enumerate() {
        // Shared out among the sizes: each norm and both kinds of model meet each kind of network.
        let (norm, kind) = (every_norm()[i % 3], [ModelKind::Vae, ModelKind::Ae][i % 2]);
        let shape = [[1, 3, 2][i % 3], height, width];
        check(kind, &NetworkConfig::Conv(ConvConfig { norm, ..Default::default() }), shape);
        check(kind, &NetworkConfig::Resnet(ResnetConfig { norm, blocks: 1, ..Default::default() }), shape);
    }
}

#[derive(Debug, Clone)]
struct Case {
    kind: ModelKind,
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
            1 => NetworkConfig::Conv(ConvConfig { channels, kernel, norm, hidden, activation }),
            _ => NetworkConfig::Resnet(ResnetConfig { channels, blocks, norm, hidden, activation }),
        };
        Case { kind: if vae { ModelKind::Vae } else { ModelKind::Ae }, network, shape: [inputs, height, width] }
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
    let config = ModelConfig { latent: 2, ..Default::default() };
    // 1 x 5 x 4, then 3 x 3 x 2.
    let rows = config.summary(&NetworkConfig::conv(&[3]), [1, 5, 4]);
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
