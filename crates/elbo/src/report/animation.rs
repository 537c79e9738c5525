//! Pictures in motion, as GIF and as animated PNG.
//!
//! GIF is shown everywhere and has 256 colours a picture: grey frames keep every level, coloured ones are brought to a palette. It counts time in
//! hundredths of a second. An animated PNG keeps every pixel and any frame rate; a viewer that does not know it shows the first frame.

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame};

use crate::error::{Error, Result};

/// How carefully palettes are chosen, 1 best to 30 fastest; 10 is what the encoder itself suggests.
const PALETTE_SPEED: i32 = 10;

/// How frames follow each other.
///
/// ```
/// use elbo::report::animation::Animation;
/// use elbo::report::image_grid::{GridLayout, ImageBatch, image_grid};
///
/// let frame = |value| image_grid(ImageBatch::new(&[value; 4], 1, 2, 2)?, GridLayout::default());
/// let frames = [frame(0u8)?, frame(255u8)?];
/// let film = Animation { milliseconds: 60, times: 0 };
/// assert_eq!(&film.gif(&frames)?[..6], b"GIF89a");
/// assert_eq!(&film.apng(&frames)?[1..4], b"PNG");
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Animation {
    /// How long each frame is shown; GIF rounds to hundredths of a second.
    pub milliseconds: u16,
    /// How often all frames are shown; 0 means again and again.
    pub times: u16,
}

impl Animation {
    /// Bytes of a GIF file. Equal frames give equal bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no frames, or they cannot be written as GIF, as of sides beyond 65,535 pixels.
    pub fn gif(&self, frames: &[DynamicImage]) -> Result<Vec<u8>> {
        check(frames)?;
        let refused = |error: image::ImageError| refused(frames, "GIF", &error.to_string());
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, PALETTE_SPEED);
        // The format counts repetitions after the first time.
        match self.times {
            0 => encoder.set_repeat(Repeat::Infinite).map_err(refused)?,
            1 => {}
            times => encoder.set_repeat(Repeat::Finite(times - 1)).map_err(refused)?,
        }
        let hundredths = ((u32::from(self.milliseconds) + 5) / 10).max(1);
        for frame in frames {
            let delay = Delay::from_numer_denom_ms(10 * hundredths, 1);
            encoder.encode_frame(Frame::from_parts(frame.to_rgba8(), 0, 0, delay)).map_err(refused)?;
        }
        drop(encoder);
        Ok(bytes)
    }

    /// Bytes of an animated PNG file. Equal frames give equal bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no frames, or they are of different sizes.
    pub fn apng(&self, frames: &[DynamicImage]) -> Result<Vec<u8>> {
        check(frames)?;
        let mut bytes = Vec::new();
        self.write_apng(frames, &mut bytes).map_err(|error| refused(frames, "animated PNG", &error.to_string()))?;
        Ok(bytes)
    }

    fn write_apng(&self, frames: &[DynamicImage], bytes: &mut Vec<u8>) -> std::result::Result<(), png::EncodingError> {
        let mut encoder = png::Encoder::new(bytes, frames[0].width(), frames[0].height());
        let grey = frames.iter().all(|frame| matches!(frame, DynamicImage::ImageLuma8(_)));
        encoder.set_color(if grey { png::ColorType::Grayscale } else { png::ColorType::Rgb });
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_animated(frames.len() as u32, self.times.into())?;
        encoder.set_frame_delay(self.milliseconds, 1000)?;
        let mut writer = encoder.write_header()?;
        for frame in frames {
            let pixels = if grey { frame.to_luma8().into_raw() } else { frame.to_rgb8().into_raw() };
            writer.write_image_data(&pixels)?;
        }
        writer.finish()
    }
}

/// Refuses no frames, and frames of different sizes.
fn check(frames: &[DynamicImage]) -> Result<()> {
    let size = |frame: &DynamicImage| (frame.width(), frame.height());
    match frames.first() {
        Some(first) if frames.iter().all(|frame| size(frame) == size(first)) => Ok(()),
        first => {
            let found = if first.is_some() { "several sizes" } else { "none" };
            Err(Error::config("animation", "frames of one size", found, "make all frames with one layout"))
        }
    }
}

fn refused(frames: &[DynamicImage], format: &str, reason: &str) -> Error {
    let found = format!("{} of {} x {} pixels ({reason})", frames.len(), frames[0].width(), frames[0].height());
    Error::config("animation", format!("frames that can be written as {format}"), found, "make fewer, or smaller ones")
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifDecoder;
    use image::{AnimationDecoder, GrayImage, RgbImage};

    use super::*;

    /// Frames of every grey level in turn.
    fn grey(count: u8) -> Vec<DynamicImage> {
        let pixels = |frame: u8| (0..=255).map(|level: u8| level.wrapping_add(frame)).collect();
        (0..count).map(|frame| GrayImage::from_raw(16, 16, pixels(frame)).unwrap().into()).collect()
    }

    #[test]
    fn a_gif_of_grey_frames_keeps_every_level_and_the_rate() {
        let film = Animation { milliseconds: 83, times: 0 };
        let bytes = film.gif(&grey(5)).unwrap();
        assert_eq!(bytes, film.gif(&grey(5)).unwrap());
        let frames = GifDecoder::new(std::io::Cursor::new(&bytes)).unwrap().into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), 5);
        for (frame, original) in frames.iter().zip(grey(5)) {
            assert_eq!(frame.delay().numer_denom_ms(), (80, 1), "hundredths of a second");
            assert_eq!(frame.buffer(), &original.to_rgba8());
        }
    }

    #[test]
    fn an_animated_png_keeps_every_pixel_the_rate_and_the_repetitions() {
        let colour = |frame: u8| -> DynamicImage {
            RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, frame * 50])).into()
        };
        for frames in [grey(3), (0..4).map(colour).collect()] {
            let bytes = Animation { milliseconds: 83, times: 2 }.apng(&frames).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
            let control = reader.info().animation_control().unwrap();
            assert_eq!((control.num_frames, control.num_plays), (frames.len() as u32, 2));
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            for frame in &frames {
                reader.next_frame(&mut pixels).unwrap();
                let delay = reader.info().frame_control().unwrap();
                assert_eq!((delay.delay_num, delay.delay_den), (83, 1000));
                assert_eq!(pixels, frame.as_bytes());
            }
        }
    }

    #[test]
    fn no_frames_and_frames_of_several_sizes_are_refused() {
        let film = Animation { milliseconds: 40, times: 1 };
        let uneven = [grey(1), vec![GrayImage::new(3, 3).into()]].concat();
        for frames in [&[][..], &uneven] {
            assert!(film.gif(frames).is_err() && film.apng(frames).is_err());
        }
    }
}
