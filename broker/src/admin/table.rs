//! All that is served.

use std::sync::OnceLock;

use super::route::Route;
use super::{
    absent, access, auto_update, brokers, clusters, namespaces, openapi, others, places, policies, producing,
    quotas, rare, schemas, subscriptions, topics, transactions,
};

/// Every route, in the order of the description.
pub(super) fn routes() -> &'static [Route] {
    static ROUTES: OnceLock<Vec<Route>> = OnceLock::new();
    ROUTES.get_or_init(|| {
        [
            openapi::routes(),
            others::routes(),
            rare::routes(),
            absent::routes(),
            brokers::routes(),
            access::routes(),
            places::routes(),
            clusters::routes(),
            quotas::routes(),
            namespaces::routes(),
            topics::routes(),
            subscriptions::routes(),
            schemas::routes(),
            policies::routes(),
            auto_update::routes(),
            transactions::routes(),
            producing::routes(),
        ]
        .concat()
    })
}
