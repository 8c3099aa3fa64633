//! Routes to models: `upstream = "responses:URL"`, `[route.responses]`.

mod answers;
mod bridge;
mod budget;
mod preparation;
mod route;
mod scenes;
mod terms;

pub(crate) use self::answers::{ANSWER_TIMEOUT, Answers};
pub(super) use self::bridge::plain;
pub(super) use self::route::{Secrets, build};
