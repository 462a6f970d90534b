//! A store in memory that reports its steps, so that the program can be killed at any of them.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    memory::InMemory, path::Path,
};

use super::{committed_ids::CommittedIds, faulty_transport::FaultyTransport};

/// Each operation is a step of the transport: a crash can occur before or after it. Before and
/// after each step that changes files it checks that every committed id is found exactly once.
#[derive(Clone)]
pub struct CrashStore {
    memory: Arc<InMemory>,
    transport: Arc<FaultyTransport>,
    committed: Arc<Mutex<CommittedIds>>,
}

impl fmt::Debug for CrashStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashStore")
    }
}

impl CrashStore {
    pub fn new(
        memory: Arc<InMemory>,
        transport: Arc<FaultyTransport>,
        committed: Arc<Mutex<CommittedIds>>,
    ) -> Self {
        Self { memory, transport, committed }
    }

    fn check(&self, when: &str) {
        self.committed.lock().unwrap().check(when);
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
        self.check("before an upload");
        self.transport.step("before the name").await;
        let put = self.memory.put_opts(location, payload, options).await;
        self.check("after an upload");
        self.transport.step("after the name").await;
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.transport.step("upload").await;
        let upload = self.memory.put_multipart_opts(location, options).await?;
        Ok(Box::new(CrashUpload { upload, store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.memory.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |path| {
                let store = store.clone();
                async move {
                    store.check("before a delete");
                    store.transport.step("delete").await;
                    let path = path?;
                    store.memory.delete(&path).await?;
                    store.check("after a delete");
                    Ok(path)
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
        self.transport.step("before a rename").await;
        self.memory.copy_opts(from, to, options).await?;
        self.check("after a rename");
        self.transport.step("after a rename").await;
        Ok(())
    }
}

#[derive(Debug)]
struct CrashUpload {
    upload: Box<dyn MultipartUpload>,
    store: CrashStore,
}

#[async_trait::async_trait]
impl MultipartUpload for CrashUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, transport) = (self.upload.put_part(data), Arc::clone(&self.store.transport));
        async move {
            transport.step("piece").await;
            part.await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.check("before an upload");
        self.store.transport.step("before the name").await;
        let put = self.upload.complete().await;
        self.store.check("after an upload");
        self.store.transport.step("after the name").await;
        put
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
