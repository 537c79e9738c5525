//! Arithmetic on codes: attributes as directions (Radford et al. 2015, arXiv:1511.06434, section 6.3.2; for VAEs White 2016, arXiv:1609.04468, section 3).

/// The mean of codes, summed in float64.
///
/// The difference of the means of images with and without an attribute is that attribute's vector.
///
/// # Shapes
/// - `codes`: `[n, latent]`
/// - returns: `[latent]`
///
/// ```
/// use elbo::generation::mean_code;
///
/// assert_eq!(mean_code(&[1.0, 0.0, 3.0, 4.0], 2), [2.0, 2.0]);
/// ```
///
/// # Panics
/// If there are no codes.
pub fn mean_code(codes: &[f32], latent: usize) -> Vec<f64> {
    let n = codes.len() / latent;
    assert!(n > 0, "the mean of no codes");
    let mut mean = vec![0.0; latent];
    for code in codes.chunks_exact(latent) {
        mean.iter_mut().zip(code).for_each(|(sum, z)| *sum += f64::from(*z));
    }
    mean.iter_mut().for_each(|sum| *sum /= n as f64);
    mean
}

/// `z + scale * vector` for every code.
///
/// # Shapes
/// - `codes`: `[n, latent]`; `vector`: `[latent]`
/// - returns: `[n, latent]`
///
/// ```
/// use elbo::generation::edited_codes;
///
/// assert_eq!(edited_codes(&[1.0, 1.0, 2.0, 2.0], &[1.0, -1.0], 0.5), [1.5, 0.5, 2.5, 1.5]);
/// ```
///
/// # Panics
/// If the codes are no whole number of codes of the vector's length.
pub fn edited_codes(codes: &[f32], vector: &[f64], scale: f64) -> Vec<f32> {
    assert!(codes.len().is_multiple_of(vector.len()), "codes and a vector of one space");
    let moved = codes.iter().zip(vector.iter().cycle()).map(|(z, v)| (f64::from(*z) + scale * v) as f32);
    moved.collect()
}
