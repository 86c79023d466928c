//! One publication, as a request that is awaited.
use crate::error::RequestError;
use crate::link::Link;
use crate::session::{Acknowledgement, Answer, Ask, Publication};
use std::future::IntoFuture;
use std::pin::Pin;

/// Where a publication stands in the server's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Published {
    /// Epoch of the offset.
    pub epoch: String,
    /// Its offset.
    pub offset: i64,
}

/// A publication that is sent when awaited. Made by [`Client::publish`](crate::Client::publish).
#[derive(Debug)]
#[must_use = "nothing is published until it is awaited"]
pub struct PublishRequest {
    link: Link,
    topic: String,
    key: Option<String>,
    data: serde_json::Result<String>,
}

impl PublishRequest {
    pub(crate) fn new(link: Link, topic: String, data: serde_json::Result<String>) -> Self {
        Self {
            link,
            topic,
            key: None,
            data,
        }
    }

    /// Its key: conflation and rates keep the newest of each.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sends it without asking for an acknowledgement; waits only until the connection has taken it. Whether it was
    /// refused shows in [`Client::stray_errors`](crate::Client::stray_errors).
    pub async fn unacknowledged(self) -> Result<(), RequestError> {
        let (link, publication) = self.publication()?;
        link.tell(Ask::Publish(publication, Acknowledgement::Unwanted))
            .await
    }

    async fn acknowledged(self) -> Result<Published, RequestError> {
        let (link, publication) = self.publication()?;
        match link
            .request(Ask::Publish(publication, Acknowledgement::Wanted))
            .await?
        {
            Answer::Published(published) => Ok(Published {
                epoch: published.epoch,
                offset: published.offset,
            }),
            _ => Err(Link::unexpected()),
        }
    }

    fn publication(self) -> Result<(Link, Publication), RequestError> {
        let Self {
            link,
            topic,
            key,
            data,
        } = self;
        let data = data.map_err(|error| RequestError::Data(error.to_string()))?;
        Ok((link, Publication { topic, key, data }))
    }
}

impl IntoFuture for PublishRequest {
    type Output = Result<Published, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.acknowledged())
    }
}
