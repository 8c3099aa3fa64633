//! One table for all that is done to a request before the upstream sees it.
//!
//! The same [`Preparation`] serves WebSocket, plain `POST` and the mock. In this order:
//!
//! 1. The model is mapped by the first alias rule that matches.
//! 2. Fields of the transport go: `type`, `stream`, `stream_id`, `background`; on the way from a
//!    socket to HTTP also `generate` and `previous_response_id`.
//! 3. Metadata goes: members whose name begins with `_` of the request itself, of an item of `input`,
//!    and of a part of its content. Nowhere else is such a name metadata: schemas of tools, arguments
//!    and outputs are the client's.
//! 4. Fields that the table removes go.
//! 5. The template fills in what is missing, and joins its instructions to the client's.
//! 6. Fields that the table forces are set.
//! 7. `input` becomes a list. References to items go, unless the table keeps them.

mod alias;
mod headers;
mod input;
mod models;
mod request;
mod table;
mod template;

pub use self::alias::{AliasRule, Aliases, Case};
pub use self::headers::ForwardedHeaders;
pub(crate) use self::headers::without_socket_betas;
pub(crate) use self::input::Segment;
pub use self::models::ModelPolicy;
pub(crate) use self::models::Models;
pub(crate) use self::request::{Prepared, Way, is_warm_up};
pub use self::table::Preparation;
pub use self::template::{JoinInstructions, Template};
