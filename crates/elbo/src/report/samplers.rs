//! The page of `elbo priors`: what each sampler of a run makes, side by side.

use std::fmt::Write as _;

use super::page::{Block, Picture, escape, number, page};

/// A run's samplers.
#[derive(Debug, Clone, Default)]
pub struct SamplerPage {
    /// The heading of the page.
    pub title: String,
    /// The model in a few words.
    pub model: String,
    /// The space distances are measured in.
    pub feature_space: String,
    /// How many of what were compared.
    pub compared: String,
    /// Which codes samplers were fitted on.
    pub codes: String,
    /// Scale of deviations.
    pub temperature: f64,
    /// Bound of normal draws.
    pub truncation: Option<f64>,
    /// The bounds and the samplers.
    pub rows: Vec<SamplerRow>,
}

/// One sampler, or what bounds them.
#[derive(Debug, Clone)]
pub struct SamplerRow {
    /// The name that `--sampler` takes.
    pub name: String,
    /// Whether it is no sampler but real data or their reconstructions.
    pub is_bound: bool,
    /// Frechet distance from held-out data.
    pub frechet: f64,
    /// Mean log-density of held-out codes, in nats.
    pub log_likelihood: Option<f64>,
    /// What it makes.
    pub picture: Option<Picture>,
}

impl SamplerPage {
    /// The page. Equal comparisons give equal text.
    ///
    /// ```
    /// use elbo::report::{SamplerPage, SamplerRow};
    ///
    /// let row = SamplerRow { name: "mixture".into(), is_bound: false, frechet: 1.25, log_likelihood: None, picture: None };
    /// let page = SamplerPage { title: "Samplers of a".into(), rows: vec![row], ..Default::default() };
    /// assert!(page.html().contains("<td>mixture"));
    /// ```
    pub fn html(&self) -> String {
        let blocks = [Block::new("Distances", self.table()), Block::new("Samples", self.samples())];
        let header = format!(
            "<p class=\"brand\">elbo</p><h1>{}</h1><p class=\"model\">{}</p>",
            escape(&self.title),
            escape(&self.model)
        );
        page(&format!("{} · elbo", self.title), &header, &blocks)
    }

    fn table(&self) -> String {
        let lowest = self.rows.iter().filter(|row| !row.is_bound).map(|row| row.frechet).fold(f64::INFINITY, f64::min);
        let rows: String = self.rows.iter().map(|row| row.html(lowest)).collect();
        let truncation = self.truncation.map_or(String::new(), |bound| format!(", truncation {bound}"));
        format!(
            "<div class=\"scroll\"><table class=\"runs\"><thead><tr><th>codes from</th><th>Fréchet distance</th>\
             <th>ln p of held-out codes</th></tr></thead><tbody>{rows}</tbody></table></div>\
             <p class=\"quiet\">Fréchet distance of decoded samples from held-out data, lower is better: {}, in the space of {}. \
             Distances of other spaces, such as Inception's, do not compare with these. What training data have is what a perfect model would; \
             no sampler of this decoder can be expected to do better than its reconstructions. ln p is in nats per code, higher is better. \
             Samplers were fitted on the training split ({} codes); temperature {}{truncation}.</p>",
            escape(&self.compared),
            escape(&self.feature_space),
            escape(&self.codes),
            self.temperature,
        )
    }

    fn samples(&self) -> String {
        let columns = self.rows.iter().fold(String::new(), |mut columns, row| {
            let body = row.picture.as_ref().map_or_else(|| "<p class=\"quiet\">none</p>".into(), Picture::html);
            let _ = write!(columns, "<div class=\"column\"><h3>{}</h3>{body}</div>", escape(&row.name));
            columns
        });
        format!("<div class=\"columns\">{columns}</div>")
    }
}

impl SamplerRow {
    fn html(&self, lowest: f64) -> String {
        let distance = match number(self.frechet) {
            text if !self.is_bound && self.frechet == lowest => format!("<strong>{text}</strong>"),
            text => text,
        };
        let log_likelihood = self.log_likelihood.map_or_else(|| "-".into(), number);
        let name = escape(&self.name);
        let name = if self.is_bound { format!("<span class=\"quiet\">{name}</span>") } else { name };
        format!("<tr><td>{name}</td><td>{distance}</td><td>{log_likelihood}</td></tr>")
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::tests::assert_self_contained;
    use super::*;

    #[test]
    fn the_lowest_distance_of_a_sampler_stands_out_and_the_page_stands_alone() {
        let row = |name: &str, is_bound, frechet| SamplerRow {
            name: name.into(),
            is_bound,
            frechet,
            log_likelihood: (!is_bound).then_some(-3.5),
            picture: None,
        };
        let rows = vec![row("training data", true, 0.1), row("normal", false, 4.0), row("<maf>", false, 2.5)];
        let page = SamplerPage { title: "a & b".into(), temperature: 1.0, rows, ..Default::default() };
        let html = page.html();
        assert_self_contained(&html);
        assert!(html.contains("<strong>2.50</strong>") && html.matches("<strong>").count() == 1, "{html}");
        assert!(html.contains("&lt;maf&gt;") && html.contains("-3.50"));
    }
}
