//! What the Hugging Face hub writes into the schema: which columns are pictures, and the names of classes.

use std::collections::HashMap;

use serde::Deserialize;

/// The key of the entry in the file's metadata.
pub(super) const KEY: &str = "huggingface";

/// The features by column.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Features(HashMap<String, serde_json::Value>);

#[derive(Deserialize)]
struct Entry {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    features: Features,
}

/// A feature of integers that stand for names.
#[derive(Deserialize)]
struct ClassLabel {
    names: Vec<String>,
}

impl Features {
    /// Reads the entry; what is not understood counts as absent, since the columns speak for themselves.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str::<Entry>(text).map(|entry| entry.info.features).unwrap_or_default()
    }

    fn kind(&self, column: &str) -> Option<&str> {
        self.0.get(column)?.get("_type")?.as_str()
    }

    /// Whether the column holds pictures.
    pub fn is_image(&self, column: &str) -> bool {
        self.kind(column) == Some("Image")
    }

    /// Names of the classes that the integers of a column stand for.
    pub fn classes(&self, column: &str) -> Option<Vec<String>> {
        self.kind(column).filter(|kind| *kind == "ClassLabel")?;
        let class = ClassLabel::deserialize(self.0.get(column)?).ok()?;
        Some(class.names).filter(|names| !names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_class_names_are_found() {
        let text = r#"{"info": {"features": {"image": {"_type": "Image"},
            "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "x": {"dtype": "float32", "_type": "Value"}}}}"#;
        let features = Features::parse(text);
        assert!(features.is_image("image") && !features.is_image("label") && !features.is_image("y"));
        assert_eq!(features.classes("label"), Some(vec!["cat".into(), "dog".into()]));
        assert_eq!((features.classes("x"), features.classes("image")), (None, None));
        for text in
            ["", "[]", "{\"info\": 3}", r#"{"info": {"features": {"label": {"_type": "ClassLabel", "names": 3}}}}"#]
        {
            assert_eq!(Features::parse(text).classes("label"), None);
        }
    }
}
