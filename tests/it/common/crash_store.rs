//! A store in memory that reports its steps, so that the program can be killed at any of them.

use std::{fmt, sync::Arc};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, memory::InMemory,
    path::Path,
};

use super::faulty_transport::FaultyTransport;

/// Each operation is a step of the transport: a crash can occur before or after it.
#[derive(Debug)]
pub struct CrashStore {
    memory: Arc<InMemory>,
    transport: Arc<FaultyTransport>,
}

impl CrashStore {
    pub fn new(memory: Arc<InMemory>, transport: Arc<FaultyTransport>) -> Self {
        Self { memory, transport }
    }
}

impl fmt::Display for CrashStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that crashes")
    }
}

#[async_trait::async_trait]
impl ObjectStore for CrashStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.transport.step("put").await;
        self.memory.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.transport.step("upload").await;
        let upload = self.memory.put_multipart_opts(location, options).await?;
        Ok(Box::new(CrashUpload { upload, transport: Arc::clone(&self.transport) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.memory.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (memory, transport) = (Arc::clone(&self.memory), Arc::clone(&self.transport));
        locations
            .then(move |path| {
                let (memory, transport) = (Arc::clone(&memory), Arc::clone(&transport));
                async move {
                    transport.step("delete").await;
                    let path = path?;
                    object_store::ObjectStoreExt::delete(&*memory, &path).await.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct CrashUpload {
    upload: Box<dyn MultipartUpload>,
    transport: Arc<FaultyTransport>,
}

#[async_trait::async_trait]
impl MultipartUpload for CrashUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, transport) = (self.upload.put_part(data), Arc::clone(&self.transport));
        async move {
            transport.step("piece").await;
            part.await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.transport.step("before the name").await;
        let put = self.upload.complete().await;
        self.transport.step("after the name").await;
        put
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
