"""dlt: its REST client pages, its filesystem destination writes Parquet from Arrow tables."""

import sys
from datetime import date, timedelta

import dlt
import pyarrow as pa
from dlt.destinations import filesystem
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator


def main(url, first, end, output, state):
    token_url = f"{url}/oauth/token"
    auth = OAuth2ClientCredentials(
        access_token_url=token_url, client_id="harness", client_secret="harness"
    )
    client = RESTClient(url, auth=auth)

    @dlt.resource(name="conversations")
    def conversations():
        tables = []
        day = date.fromisoformat(first)
        while day < date.fromisoformat(end):
            paginator = PageNumberPaginator(
                base_page=1,
                page_body_path="paging.pageNumber",
                page_param=None,
                total_path=None,
                stop_after_empty_page=True,
            )
            body = {
                "interval": f"{day}T00:00:00Z/{day + timedelta(1)}T00:00:00Z",
                "paging": {"pageSize": 100, "pageNumber": 1},
            }
            pages = client.paginate(
                "/api/v2/analytics/conversations/details/query",
                method="POST",
                json=body,
                paginator=paginator,
                data_selector="conversations",
            )
            tables.append(pa.Table.from_pylist([row for page in pages for row in page]))
            day += timedelta(1)
        # a load has one schema, and that of a day depends on what its rows happen to hold
        yield pa.concat_tables(tables, promote_options="permissive")

    pipeline = dlt.pipeline(
        "harness",
        pipelines_dir=state,
        dataset_name="out",
        destination=filesystem(bucket_url=f"file://{output}"),
    )
    pipeline.run(conversations(), loader_file_format="parquet").raise_on_failed_jobs()


main(*sys.argv[1:])
