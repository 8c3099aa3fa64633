//! `kind = "api-key"`

use std::sync::Arc;

use portcullis_verifiers::ApiKeys;

use super::recipe::Recipe;
use crate::config::builder::Builder;

pub(super) fn build(builder: &Builder, name: &str) -> Recipe {
    Recipe::ApiKeys(Arc::new(ApiKeys::new(name, builder.keys())))
}
