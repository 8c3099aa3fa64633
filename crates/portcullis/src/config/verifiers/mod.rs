//! The verifiers of a file, a kind in each module.

mod api_key;
mod asked;
mod build;
mod callout;
mod capability;
mod firebase;
mod hmac_jwt;
mod introspection;
mod jwks;
mod key_source;
mod login;
mod recipe;

pub(super) use self::asked::{AsWhom, as_whom, endpoint};
pub(super) use self::build::{Recipes, build};
pub(crate) use self::hmac_jwt::JwtRecipe;
pub(crate) use self::recipe::{Recipe, Shape};
