/** Few enough to hold the database for a few milliseconds only. */
const AT_ONCE = 500
/** Rows that are deleted at once: each lies on pages of its own, in the table and in every index. `npm run bench` tells how long it takes. */
export const PURGED_AT_ONCE = 100

/** Every row of a list that is read page by page: `list` gives those after an id, in the order of their ids. */
export async function * pages<Row extends { id: string }> (list: (after: string, most: number) => Promise<Row[]>): AsyncGenerator<Row> {
  let page: Row[] = []
  do {
    page = await list(page.at(-1)?.id ?? '', AT_ONCE)
    yield * page
  } while (page.length === AT_ONCE)
}
