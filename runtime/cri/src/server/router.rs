//! Two gRPC services on one socket, told apart by the request's path. (tonic's own router brings a
//! web framework along.)

use std::convert::Infallible;
use std::task::{Context, Poll};

use corten_api_cri::v1::image_service_server::ImageServiceServer;
use corten_api_cri::v1::runtime_service_server::RuntimeServiceServer;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::image::ImageCalls;
use super::runtime::Runtime;

type RuntimeServer = RuntimeServiceServer<Runtime>;
type ImageServer = ImageServiceServer<ImageCalls>;

/// Both services; what is in neither, the runtime's answers as unimplemented.
#[derive(Debug, Clone)]
pub(super) struct Router {
    runtime: RuntimeServer,
    images: ImageServer,
}

impl Router {
    pub(super) fn new(runtime: RuntimeServer, images: ImageServer) -> Self {
        Self { runtime, images }
    }
}

fn names<S: NamedService>(path: &str) -> bool {
    path.strip_prefix('/').and_then(|path| path.split('/').next()) == Some(S::NAME)
}

impl Service<http::Request<Body>> for Router {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if names::<ImageServer>(request.uri().path()) {
            self.images.call(request)
        } else {
            self.runtime.call(request)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_which_service() {
        assert!(names::<ImageServer>("/runtime.v1.ImageService/PullImage"));
        assert!(!names::<ImageServer>("/runtime.v1.RuntimeService/Version"));
        assert!(names::<RuntimeServer>("/runtime.v1.RuntimeService/Version"));
        assert!(!names::<RuntimeServer>("/runtime.v1.RuntimeServiceX/Version"));
    }
}
