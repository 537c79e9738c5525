//! Shapes of pictures as flags have them.

/// Largest side accepted.
const MAX_SIDE: usize = 1 << 16;
/// Most values accepted.
const MAX_VALUES: usize = 1 << 28;

/// `CHANNELSxHEIGHTxWIDTH`, as `--shape` takes it.
pub fn parse_shape(text: &str) -> Result<[usize; 3], String> {
    let sizes: Option<Vec<usize>> = text.split('x').map(|size| size.trim().parse().ok()).collect();
    let shape: Option<[usize; 3]> = sizes.and_then(|sizes| sizes.try_into().ok());
    match shape {
        Some(shape) if shape.iter().all(|size| (1..=MAX_SIDE).contains(size)) => {
            let values: usize = shape.iter().product();
            if values <= MAX_VALUES { Ok(shape) } else { Err(format!("at most {MAX_VALUES} values, found {values}")) }
        }
        _ => Err(format!("expected CHANNELSxHEIGHTxWIDTH, each from 1 to {MAX_SIDE}, for example 3x64x64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_three_sizes() {
        assert_eq!(parse_shape("3x64x48"), Ok([3, 64, 48]));
        for wrong in ["", "3", "3x64", "3x64x64x1", "0x1x1", "3xax4", "-1x2x2", "65537x1x1", "65536x65536x1", "1x1x1e9"]
        {
            assert!(parse_shape(wrong).is_err(), "{wrong}");
        }
    }
}
