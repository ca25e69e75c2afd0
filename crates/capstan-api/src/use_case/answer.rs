//! The contract of queries: each is answered about a place.

use capstan_contract::request::Request;
use capstan_envelope::Workspace;

use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

/// A query that can be answered about a place, by default a workspace.
pub(crate) trait Answer<Place = Workspace>: Request {
    /// Answers the query; the read models have reached the position it waits for.
    fn answer(
        self,
        app: &App,
        place: &Place,
        beside: Self::Beside,
    ) -> impl Future<Output = Result<Answered, Problem>> + Send;
}

/// The place of queries about no workspace in particular.
#[derive(Debug)]
pub(crate) struct Installation;
