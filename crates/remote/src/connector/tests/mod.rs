//! The connector with all that is around it.

mod simulation;
