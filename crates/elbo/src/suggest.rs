//! "Did you mean?", for names of keys, recipes, columns, metrics.

/// The candidate that `name` was probably meant to be, if one is close.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate));
    let close = scored.filter(|(similarity, _)| *similarity > 0.8);
    close.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_suggested_and_far_ones_are_not() {
        let names = ["mnist", "fashion-mnist", "cifar10"];
        assert_eq!(did_you_mean("mnsit", names), Some("mnist"));
        assert_eq!(did_you_mean("imagenet", names), None);
    }
}
