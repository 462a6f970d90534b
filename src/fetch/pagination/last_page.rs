//! Whether a page is the last, and how many there are.

use crate::{
    catalog::{Paging, TotalAccuracy},
    decode::RawPage,
    fetch::pagination::Pager,
};

impl Pager {
    /// Whether a numbered page says that there is another one. If pages never say so, only a page
    /// without rows is the last.
    pub(super) fn has_more(&self, page: &RawPage) -> bool {
        let names_next = self.endpoint.next.as_ref().map(|_| page.next.is_some());
        let is_before_last = page
            .pages
            .filter(|&pages| pages > 0)
            .map(|pages| u64::from(self.position.received) < pages);
        match (names_next, is_before_last) {
            (None, None) => true,
            (names_next, is_before_last) => {
                names_next.unwrap_or(false) || is_before_last.unwrap_or(false)
            }
        }
    }

    /// Whether a page proves that it is the last: it is not full, and short pages are the last of
    /// this endpoint, or all items that its exact total counts have been received.
    pub(super) fn is_proven_last(&self, page: &RawPage) -> bool {
        let endpoint = &self.endpoint;
        let is_total_reached =
            endpoint.total_is == TotalAccuracy::Exact && page.total == Some(self.position.offset);
        page.items < self.page_size.into() && (endpoint.short_page_is_last || is_total_reached)
    }

    /// Whether the page just received is a full first page that does not even have the place where
    /// the next page would be named, and no count confirms that it is the last.
    pub(crate) fn may_lack_pages(&self, page: &RawPage) -> bool {
        let names_next = self.endpoint.next.is_some() || self.endpoint.paging == Paging::LinkHeader;
        names_next
            && !page.has_next_key
            && self.position.received == 1
            && page.items >= self.page_size.into()
            && page.pages.is_none()
            && page.total.is_none_or(|total| total > page.items)
    }

    /// The pages that the total of a page suggests, the empty one that ends them included unless
    /// the last is expected to prove that it is. Numbered pages can be requested before their
    /// predecessors arrive; of other pages there are 0.
    pub(super) fn counted_pages(&self, page: &RawPage) -> u32 {
        let is_numbered =
            self.endpoint.paging == Paging::PageNumber && self.endpoint.next.is_none();
        let pages = match (page.pages, page.total) {
            _ if !is_numbered => 0,
            (Some(pages), _) => pages,
            (None, Some(total)) => self.endpoint.pages_of(total, self.page_size),
            (None, None) => 0,
        };
        u32::try_from(pages).unwrap_or(u32::MAX)
    }
}
