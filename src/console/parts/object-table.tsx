import {
  DataTableSkeleton,
  Table,
  TableBody,
  TableCell,
  TableContainer,
  TableHead,
  TableHeader,
  TableRow,
  TableToolbar,
  TableToolbarContent,
  TableToolbarSearch,
} from '@carbon/react';
import { type ReactNode, useMemo, useState } from 'react';
import { useWindow } from './window.ts';

/** One column of a table. */
export interface Column<T> {
  readonly key: string;
  readonly title: string;
  /** What is shown. */
  readonly cell: (row: T) => ReactNode;
  /** What the column is sorted and searched by; neither without it. */
  readonly text?: (row: T) => string;
  /** Left out on narrow screens. */
  readonly wide?: boolean;
}

/** A list of objects, which can be searched and sorted. */
export interface ObjectTableProps<T> {
  readonly title: string;
  /** The page says it already. */
  readonly isOnlyTable?: boolean;
  readonly columns: readonly Column<T>[];
  /** Undefined while they are read. */
  readonly rows: readonly T[] | undefined;
  readonly idOf: (row: T) => string;
  /** In place of the table where there are no rows. */
  readonly empty: ReactNode;
  /** Beside the search: filters, and the button that makes a new one. */
  readonly tools?: ReactNode;
  readonly description?: string;
  /** A few rows that need neither search nor tools. */
  readonly isPlain?: boolean;
}

interface Order {
  readonly key: string;
  readonly descending: boolean;
}

const COLLATOR = new Intl.Collator('en', { numeric: true });
/** Height of a row, as the style sheet has it. */
const ROW_PX = 48;

/** Shows a table of objects. Of a long one only the rows in sight are on the page. */
export function ObjectTable<T>(props: ObjectTableProps<T>): ReactNode {
  const { title, columns, rows, idOf, empty, description } = props;
  const [search, setSearch] = useState('');
  const [order, setOrder] = useState<Order>();
  const shown = useMemo(() => chosen(rows ?? [], columns, search, order), [rows, columns, search, order]);
  const { ref, first, last } = useWindow(shown.length, ROW_PX);
  if (rows === undefined)
    return <DataTableSkeleton headers={columns.map((one) => ({ header: one.title }))} rowCount={3} />;
  if (rows.length === 0) return empty;
  const isPart = last - first < shown.length;
  return (
    <TableContainer {...(props.isOnlyTable ? {} : { title, description })}>
      {props.isPlain ? null : (
        <Toolbar title={title} search={search} setSearch={setSearch} tools={props.tools} />
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard, too */}
      <section className="table-scroll" ref={ref} aria-label={`Rows of ${title}`} tabIndex={0}>
        <Table aria-label={title} aria-rowcount={isPart ? shown.length + 1 : undefined}>
          <Head columns={columns} order={order} setOrder={setOrder} />
          <TableBody>
            <Gap rows={first} />
            {shown.slice(first, last).map((row, index) => (
              <TableRow key={idOf(row)} aria-rowindex={isPart ? first + index + 2 : undefined}>
                {columns.map(({ key, cell, wide }) => (
                  <TableCell key={key} className={classOf(key, wide)}>
                    {cell(row)}
                  </TableCell>
                ))}
              </TableRow>
            ))}
            <Gap rows={shown.length - last} />
          </TableBody>
        </Table>
      </section>
      {shown.length === 0 ? (
        <p className="no-result">Nothing here fits “{search}”: search for another word.</p>
      ) : null}
    </TableContainer>
  );
}

function Toolbar({
  title,
  search,
  setSearch,
  tools,
}: {
  readonly title: string;
  readonly search: string;
  readonly setSearch: (search: string) => void;
  readonly tools: ReactNode;
}): ReactNode {
  return (
    <TableToolbar aria-label={`Tools of ${title}`}>
      <TableToolbarContent>
        <TableToolbarSearch
          persistent
          labelText={`Search ${title}`}
          placeholder="Search"
          value={search}
          onChange={(event) => setSearch(typeof event === 'string' ? '' : event.target.value)}
        />
        {tools}
      </TableToolbarContent>
    </TableToolbar>
  );
}

function Head<T>({
  columns,
  order,
  setOrder,
}: Pick<ObjectTableProps<T>, 'columns'> & {
  readonly order: Order | undefined;
  readonly setOrder: (order: Order) => void;
}): ReactNode {
  return (
    <TableHead>
      <TableRow>
        {columns.map(({ key, title, text, wide }) => {
          const isOrdered = order?.key === key;
          return (
            <TableHeader
              key={key}
              id={`column-${key}`}
              className={classOf(key, wide)}
              isSortable={text !== undefined}
              isSortHeader={isOrdered}
              sortDirection={isOrdered ? (order.descending ? 'DESC' : 'ASC') : 'NONE'}
              onClick={() => setOrder({ key, descending: isOrdered && !order.descending })}
            >
              {title === '' ? <span className="cds--visually-hidden">Actions</span> : title}
            </TableHeader>
          );
        })}
      </TableRow>
    </TableHead>
  );
}

/** What can be done with a row stays in sight when the table is wider than the screen. */
function classOf(key: string, wide = false): string {
  return key === 'actions' ? 'row-actions' : wide ? 'wide' : '';
}

/** The room that rows out of sight would take. */
function Gap({ rows }: { readonly rows: number }): ReactNode {
  if (rows <= 0) return null;
  return (
    <tr className="gap">
      <td aria-hidden="true" style={{ height: rows * ROW_PX, padding: 0, border: 0 }} />
    </tr>
  );
}

function chosen<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  search: string,
  order: Order | undefined,
): readonly T[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = columns.flatMap(({ text }) => text ?? []);
  const found =
    words.length === 0
      ? [...rows]
      : rows.filter((row) => {
          const all = texts.map((text) => text(row).toLowerCase()).join(' ');
          return words.every((word) => all.includes(word));
        });
  const by = columns.find(({ key }) => key === order?.key)?.text;
  if (order === undefined || by === undefined) return found;
  const sign = order.descending ? -1 : 1;
  return found.sort((a, b) => sign * COLLATOR.compare(by(a), by(b)));
}
