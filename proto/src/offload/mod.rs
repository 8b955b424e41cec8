//! Super-packets into segments and back.
