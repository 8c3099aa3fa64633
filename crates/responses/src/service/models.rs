//! `GET …/models`, which clients look at before they begin.

use std::collections::BTreeSet;

use http::{Response, StatusCode};
use serde::Serialize;

use super::{ResponsesBody, reply};
use crate::machine::Rules;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
    /// Another client's name for a list of another form. Empty, it goes by what it knows itself.
    models: [(); 0],
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// The models that the route lists by name: those that it allows, and those that stand for others.
pub(super) fn answer(rules: &Rules) -> Response<ResponsesBody> {
    let names: BTreeSet<&str> = rules
        .models
        .names()
        .chain(rules.preparation.aliases().names())
        .collect();
    let model = |id| Model {
        id,
        object: "model",
        created: 0,
        owned_by: "portcullis",
    };
    let list = List {
        object: "list",
        data: names.into_iter().map(model).collect(),
        models: [],
    };
    let body = serde_json::to_string(&list).expect("strings and numbers make JSON");
    reply::json(StatusCode::OK, body)
}
