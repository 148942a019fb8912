//! Errors of operations as gRPC codes: the one place where they are mapped.

use corten_runtime_image::ImageError;
use tonic::{Code, Status};

use crate::error::{OperationError, chain};
use crate::images::ImageFailure;
use crate::shim::{FaultCode, ShimError};

impl From<OperationError> for Status {
    fn from(error: OperationError) -> Self {
        let code = code(&error);
        if code == Code::Internal {
            tracing::warn!(cause = chain(&error), "a request failed");
        }
        Self::new(code, chain(&error))
    }
}

fn code(error: &OperationError) -> Code {
    match error {
        OperationError::NotFound { .. } => Code::NotFound,
        OperationError::Ambiguous { .. }
        | OperationError::Invalid { .. }
        | OperationError::Program { .. } => Code::InvalidArgument,
        OperationError::Unsupported { .. } => Code::Unimplemented,
        OperationError::Exists { .. } => Code::AlreadyExists,
        OperationError::State { .. } => Code::FailedPrecondition,
        OperationError::Gone { .. } => Code::Aborted,
        OperationError::Image { source, .. } => image(source),
        OperationError::Shim { source, .. } => shim(source),
        OperationError::Timeout { .. } => Code::DeadlineExceeded,
        OperationError::TooManyStreams { .. } | OperationError::TooSlow { .. } => {
            Code::ResourceExhausted
        }
        OperationError::ShuttingDown => Code::Unavailable,
        OperationError::Network { .. }
        | OperationError::Store { .. }
        | OperationError::File { .. }
        | OperationError::Cgroup { .. }
        | OperationError::Teardown { .. }
        | OperationError::Internal { .. } => Code::Internal,
    }
}

fn shim(error: &ShimError) -> Code {
    match error {
        ShimError::Connect { .. } | ShimError::Lost => Code::Unavailable,
        ShimError::Timeout { .. } => Code::DeadlineExceeded,
        ShimError::Protocol { .. } | ShimError::Spawn { .. } => Code::Internal,
        ShimError::Fault { code, .. } => match code {
            FaultCode::NotFound => Code::NotFound,
            FaultCode::Exists => Code::AlreadyExists,
            FaultCode::Invalid => Code::InvalidArgument,
            FaultCode::State => Code::FailedPrecondition,
            FaultCode::Internal => Code::Internal,
        },
    }
}

fn image(error: &ImageFailure) -> Code {
    match error.downcast_ref::<ImageError>() {
        Some(ImageError::NotFound { .. } | ImageError::Platform { .. }) => Code::NotFound,
        Some(ImageError::Unauthorized { .. }) => Code::PermissionDenied,
        Some(ImageError::Registry { .. }) => Code::Unavailable,
        Some(ImageError::Timeout { .. }) => Code::DeadlineExceeded,
        Some(ImageError::Name(_)) => Code::InvalidArgument,
        Some(_) | None => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::network::NetworkError;

    #[test]
    fn a_status_tells_the_whole_story_once() {
        let cause = std::io::Error::other("no such plugin");
        let error = OperationError::Network {
            doing: "set up",
            id: "abc".to_owned(),
            source: NetworkError { what: "CNI ADD".to_owned(), source: Some(Box::new(cause)) },
        };
        let status = Status::from(error);
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(
            status.message(),
            "set up the network of pod sandbox abc: CNI ADD: no such plugin"
        );
    }

    #[test]
    fn what_the_kubelet_tells_apart() {
        let code = |error: OperationError| Status::from(error).code();
        assert_eq!(code(OperationError::not_found(Kind::Container, "x")), Code::NotFound);
        assert_eq!(code(OperationError::unsupported("f", "why")), Code::Unimplemented);
        assert_eq!(code(OperationError::invalid("f", "why")), Code::InvalidArgument);
        let slow = OperationError::Timeout { doing: "x".to_owned(), seconds: 1 };
        assert_eq!(code(slow), Code::DeadlineExceeded);
    }
}
