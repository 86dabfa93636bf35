import { type Dialect, dialectOf } from '../dialect.js';

/** Dates that stand for the forms that bodies have had; the newest first. */
const DATES = ['2026-01-01', '2024-04-29', '2020-11-12', '2019-01-01'] as const;

/** The form that bodies have now. */
export const NEWEST = dialectOf(DATES[0]);

/** What is made once for each form of bodies. */
export interface Variants<T> {
  of(dialect: Dialect): T;
  readonly newest: Dialect;
}

/** Makes one of `T` for each form of bodies, now, so that no request pays for it. */
export function byDialect<T>(make: (dialect: Dialect) => T): Variants<T> {
  const made = DATES.map((date) => {
    const dialect = dialectOf(date);
    return { dialect, value: make(dialect) };
  });
  return {
    of: ({ early, modes, flatConnections }) =>
      made.find(
        ({ dialect }) =>
          dialect.early === early && dialect.modes === modes && dialect.flatConnections === flatConnections,
      )!.value,
    newest: made[0]!.dialect,
  };
}
