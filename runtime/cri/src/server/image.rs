//! The calls about images.

use std::sync::Arc;

use base64::Engine as _;
use corten_api_cri::v1::image_service_server::ImageService;
use corten_api_cri::v1::{
    AuthConfig, Image, ImageFsInfoRequest, ImageFsInfoResponse, ImageSpec, ImageStatusRequest,
    ImageStatusResponse, Int64Value, ListImagesRequest, ListImagesResponse, PullImageRequest,
    PullImageResponse, RemoveImageRequest, RemoveImageResponse, StreamImagesRequest,
    StreamImagesResponse,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::runtime::{Answer, AnswerStream, not_there_yet};
use crate::error::{OperationError, Outcome};
use crate::images::{Credentials, ImageInfo};
use crate::service::Service;
use crate::stats;

/// Serves them.
#[derive(Debug)]
pub(super) struct ImageCalls {
    service: Arc<Service>,
}

impl ImageCalls {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    async fn find(&self, spec: Option<ImageSpec>) -> Outcome<(String, Option<ImageInfo>)> {
        let name = spec.map(|spec| spec.image).unwrap_or_default();
        if name.is_empty() {
            return Err(OperationError::invalid("image.image", "empty"));
        }
        let wanted = name.clone();
        let found = self
            .service
            .blocking("look up an image", move |parts| parts.images.resolve(&wanted))
            .await?;
        match found {
            Ok(image) => Ok((name, image)),
            Err(source) => Err(OperationError::Image { doing: "look up", image: name, source }),
        }
    }
}

fn message(image: ImageInfo) -> Image {
    // What the kubelet needs for `runAsNonRoot`: a number, or else a name that it refuses.
    let user = image.config.user.split(':').next().unwrap_or_default();
    let uid = if user.is_empty() { Some(0) } else { user.parse::<u32>().ok() };
    Image {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size_bytes,
        username: if uid.is_none() { user.to_owned() } else { String::new() },
        uid: uid.map(|uid| Int64Value { value: uid.into() }),
        spec: None,
        pinned: false,
    }
}

/// A registry token, or a user and password; docker's `auth` is both in base64.
fn credentials(auth: AuthConfig) -> Outcome<Option<Credentials>> {
    if !auth.identity_token.is_empty() {
        return Err(OperationError::unsupported(
            "auth.identity_token",
            "a registry token, or user and password, are",
        ));
    }
    if !auth.registry_token.is_empty() {
        return Ok(Some(Credentials::Bearer { token: auth.registry_token }));
    }
    if !auth.username.is_empty() {
        let AuthConfig { username, password, .. } = auth;
        return Ok(Some(Credentials::Basic { username, password }));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let wrong = || OperationError::invalid("auth.auth", "not user:password in base64");
    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.auth.trim());
    let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let (username, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Some(Credentials::Basic {
        username: username.to_owned(),
        // Docker pads it with zeros.
        password: password.trim_end_matches('\0').to_owned(),
    }))
}

#[tonic::async_trait]
impl ImageService for ImageCalls {
    type StreamImagesStream = AnswerStream<StreamImagesResponse>;

    async fn list_images(&self, request: Request<ListImagesRequest>) -> Answer<ListImagesResponse> {
        let wanted = request.into_inner().filter.and_then(|filter| filter.image);
        let images = if wanted.as_ref().is_some_and(|image| !image.image.is_empty()) {
            self.find(wanted).await?.1.into_iter().collect()
        } else {
            self.service.blocking("list images", |parts| parts.images.list()).await?
        };
        let images = images.into_iter().map(message).collect();
        Ok(Response::new(ListImagesResponse { images }))
    }

    async fn stream_images(
        &self,
        _request: Request<StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        Err(not_there_yet("StreamImages"))
    }

    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Answer<ImageStatusResponse> {
        let request = request.into_inner();
        let (_, image) = self.find(request.image).await?;
        let mut response = ImageStatusResponse::default();
        if let Some(image) = image {
            if request.verbose {
                let config = &image.config;
                let text = json!({
                    "imageSpec": { "config": {
                        "User": config.user,
                        "Env": config.env,
                        "Entrypoint": config.entrypoint,
                        "Cmd": config.cmd,
                        "WorkingDir": config.working_dir,
                        "StopSignal": config.stop_signal,
                    }},
                });
                response.info.insert("info".to_owned(), text.to_string());
            }
            response.image = Some(message(image));
        }
        Ok(Response::new(response))
    }

    async fn pull_image(&self, request: Request<PullImageRequest>) -> Answer<PullImageResponse> {
        let request = request.into_inner();
        let name = request.image.map(|spec| spec.image).unwrap_or_default();
        if name.is_empty() {
            return Err(OperationError::invalid("image.image", "empty").into());
        }
        let credentials = match request.auth {
            Some(auth) => credentials(auth)?,
            None => None,
        };
        let service = Arc::clone(&self.service);
        let pulled = self.service.detached("pull image", async move {
            let pulled = service.parts.images.pull(name.clone(), credentials).await;
            pulled.map_err(|source| OperationError::Image { doing: "pull", image: name, source })
        });
        Ok(Response::new(PullImageResponse { image_ref: pulled.await?.id }))
    }

    async fn remove_image(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Answer<RemoveImageResponse> {
        let (name, image) = self.find(request.into_inner().image).await?;
        if image.is_some() {
            let service = Arc::clone(&self.service);
            let removed = self.service.detached("remove image", async move {
                let wanted = name.clone();
                let removed = service
                    .blocking("remove an image", move |parts| parts.images.remove(&wanted))
                    .await?;
                removed.map_err(|source| OperationError::Image {
                    doing: "remove",
                    image: name,
                    source,
                })
            });
            // Gone meanwhile is as good.
            removed.await?;
        }
        Ok(Response::new(RemoveImageResponse {}))
    }

    async fn image_fs_info(
        &self,
        _request: Request<ImageFsInfoRequest>,
    ) -> Answer<ImageFsInfoResponse> {
        let usage = stats::images(&self.service).await?;
        // What containers write lies in the same store.
        Ok(Response::new(ImageFsInfoResponse {
            container_filesystems: vec![usage.clone()],
            image_filesystems: vec![usage],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ImageDefaults;

    #[test]
    fn credentials_in_all_their_forms() {
        let parse = |auth: AuthConfig| credentials(auth).map_err(|error| error.to_string());
        assert_eq!(parse(AuthConfig::default()), Ok(None));
        let basic = Credentials::Basic { username: "me".to_owned(), password: "a:b".to_owned() };
        let auth = AuthConfig { auth: "bWU6YTpi".to_owned(), ..AuthConfig::default() };
        assert_eq!(parse(auth), Ok(Some(basic.clone())));
        let plain = AuthConfig {
            username: "me".to_owned(),
            password: "a:b".to_owned(),
            ..AuthConfig::default()
        };
        assert_eq!(parse(plain), Ok(Some(basic)));
        let nonsense = AuthConfig { auth: "!".to_owned(), ..AuthConfig::default() };
        assert!(parse(nonsense).unwrap_err().starts_with("auth.auth: "));
        let identity = AuthConfig { identity_token: "x".to_owned(), ..AuthConfig::default() };
        assert!(parse(identity).unwrap_err().contains("auth.identity_token is not supported"));
    }

    #[test]
    fn the_kubelet_learns_who_an_image_runs_as() {
        let image = |user: &str| {
            let config = ImageDefaults { user: user.to_owned(), ..ImageDefaults::default() };
            let message = message(ImageInfo { config, ..ImageInfo::default() });
            (message.uid.map(|uid| uid.value), message.username)
        };
        assert_eq!(image(""), (Some(0), String::new()));
        assert_eq!(image("1002:7"), (Some(1002), String::new()));
        assert_eq!(image("www-data:7"), (None, "www-data".to_owned()));
    }
}
