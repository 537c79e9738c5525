//! Settings for sets of pictures.

use elbo::data::DataConfig;
use elbo::data::pictures::OnBadImage;

/// Settings that take what can be taken.
pub fn lenient() -> DataConfig {
    DataConfig { on_bad_image: OnBadImage::Skip, size: "8x8".parse().ok(), ..DataConfig::default() }
}
