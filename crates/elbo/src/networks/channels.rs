//! How wide a convolutional network is, layer by layer.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pyramid::halvings_down_to;
use crate::error::{Error, Result};

/// Most channels of a layer.
pub const MAX_CHANNELS: usize = 1 << 16;
/// Most layers.
const MAX_LAYERS: usize = 16;
/// Pixels that `auto` leaves on the smaller side.
const SMALLEST: usize = 4;
/// Channels of `auto`'s first layer, and the most it comes to.
const WIDTHS: [usize; 2] = [32, 256];

/// `network.channels`: a list, one entry for each halving of the image, or `"auto"`.
///
/// `auto` follows the data: as many halvings as leave the smaller side at least 4 pixels (one at least, where the image has two pixels to halve), with
/// 32, 64, 128, 256, 256, ... channels. A run's `config.toml` holds the list that came of it.
///
/// ```
/// use elbo::networks::Channels;
///
/// let channels = |height, width| Channels::Auto.resolve([1, height, width]);
/// assert_eq!(channels(28, 28), [32, 64, 128]); // 28, 14, 7, 4
/// assert_eq!(channels(112, 92), [32, 64, 128, 256]); // 92, 46, 23, 12, 6
/// assert_eq!((channels(2, 3), channels(33, 1), channels(1, 1)), (vec![32], vec![32, 64, 128], vec![]));
/// assert_eq!(Channels::from(vec![8, 9]).resolve([3, 64, 64]), [8, 9]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Channels {
    /// As the image's size suggests.
    #[default]
    Auto,
    /// These widths, from the data towards the code.
    List(Vec<usize>),
}

impl Channels {
    /// The list for images of `shape` (channels, height, width).
    pub fn resolve(&self, shape: [usize; 3]) -> Vec<usize> {
        match self {
            Self::List(list) => list.clone(),
            Self::Auto => {
                let count = halvings_down_to(SMALLEST, [shape[1], shape[2]]).min(MAX_LAYERS);
                (0..count).map(|i| (WIDTHS[0] << i).min(WIDTHS[1])).collect()
            }
        }
    }

    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`] for 0 channels or beyond `MAX_CHANNELS` (2^16), or more than 16 layers.
    pub fn check(&self) -> Result<()> {
        const KEY: &str = "network.channels";
        const HELP: &str = "for example `--set network.channels=[32,64,128]`, or `auto`";
        let Self::List(list) = self else { return Ok(()) };
        if list.len() > MAX_LAYERS {
            let expected = format!("at most {MAX_LAYERS} layers");
            return Err(Error::config(KEY, expected, format!("{} layers", list.len()), HELP));
        }
        match list.iter().find(|&&count| count == 0 || count > MAX_CHANNELS) {
            Some(count) => Err(Error::config(KEY, format!("1 to {MAX_CHANNELS} channels"), count.to_string(), HELP)),
            None => Ok(()),
        }
    }
}

impl From<Vec<usize>> for Channels {
    fn from(list: Vec<usize>) -> Self {
        Self::List(list)
    }
}

impl Serialize for Channels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Channels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrList;

        impl<'de> Visitor<'de> for AutoOrList {
            type Value = Channels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a list, for example [32, 64, 128]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Channels, E> {
                match text {
                    "auto" => Ok(Channels::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Channels, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(sequence)).map(Channels::List)
            }
        }

        deserializer.deserialize_any(AutoOrList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::most_halvings;

    #[test]
    fn auto_fits_every_size() {
        for [height, width] in (1..70).flat_map(|h| (1..70).map(move |w| [h, w])).chain([[4000, 5], [1 << 20, 1]]) {
            let channels = Channels::Auto.resolve([3, height, width]);
            assert!(channels.len() <= most_halvings([height, width]), "{height} x {width}");
            assert_eq!(channels.is_empty(), [height, width] == [1, 1]);
            assert!(Channels::from(channels).check().is_ok());
        }
    }

    #[test]
    fn auto_halves_down_to_four_pixels() {
        let count = |height, width| Channels::Auto.resolve([1, height, width]).len();
        assert_eq!([count(7, 7), count(8, 8), count(6, 60), count(13, 13), count(28, 64)], [1, 1, 1, 2, 3]);
        assert_eq!(Channels::Auto.resolve([3, 256, 256]), [32, 64, 128, 256, 256, 256]);
    }

    #[test]
    fn written_and_read_back() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Table {
            channels: Channels,
        }
        for channels in [Channels::Auto, vec![3, 4].into(), vec![].into()] {
            let table = Table { channels };
            assert_eq!(toml::from_str::<Table>(&toml::to_string(&table).unwrap()).unwrap(), table);
        }
        for (text, word) in [("'atuo'", "auto"), ("7", "list"), ("[1, -2]", "-2"), ("['x']", "usize")] {
            let error = toml::from_str::<Table>(&format!("channels = {text}")).unwrap_err();
            assert!(error.message().contains(word), "{error}");
        }
    }
}
