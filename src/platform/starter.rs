//! What a first configuration for a platform has, as `cxbackfill init` writes it.

/// The parts of a first configuration that depend on the platform.
pub(crate) struct Starter {
    /// A region or two, to complete "such as".
    pub regions: &'static str,
    /// The grant that most clients of the platform use.
    pub grant: &'static str,
    /// The dataset to begin with.
    pub dataset: &'static str,
    /// What the client or the access key needs, as lines of a comment.
    pub access: &'static str,
    /// The keys of `[budget]`, with their comments.
    pub budget: &'static str,
}
