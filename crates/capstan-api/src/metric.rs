//! The metrics of the api.

capstan_envelope::metrics! {
    /// HTTP requests, by `route`, `method` and `status`.
    Counter HTTP_REQUESTS = "capstan_http_requests_total";
    /// Time of an HTTP request until its response begins, by `route` and `method`.
    Histogram HTTP_REQUEST_SECONDS = "capstan_http_request_seconds";
    /// Messages that became dead letters, by `source`.
    Counter DEAD_LETTERS = "capstan_dead_letters_total";
}
