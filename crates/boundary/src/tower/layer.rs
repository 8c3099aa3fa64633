//! The layer.

use std::sync::Arc;

use tower_layer::Layer;

use super::BoundaryService;
use crate::boundary::Boundary;

/// Puts a boundary before a service. See the [module docs](super) for what it does.
#[derive(Clone, Debug)]
pub struct BoundaryLayer {
    boundary: Arc<Boundary>,
}

impl BoundaryLayer {
    /// A layer that asks `boundary`.
    #[must_use]
    pub fn new(boundary: Boundary) -> Self {
        Self {
            boundary: Arc::new(boundary),
        }
    }
}

impl<S> Layer<S> for BoundaryLayer {
    type Service = BoundaryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BoundaryService::new(inner, Arc::clone(&self.boundary))
    }
}
