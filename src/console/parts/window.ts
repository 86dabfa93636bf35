import { type RefCallback, useCallback, useEffect, useState } from 'react';

/** Lists up to this length are on the page as a whole. */
const WHOLE = 120;
/** Rows beyond what is in sight, on either side. */
const MARGIN = 20;

/** Which rows of a long list are near what is in sight: `first` up to but not including `last`. */
export function useWindow(
  length: number,
  rowPx: number,
): { readonly ref: RefCallback<HTMLElement>; readonly first: number; readonly last: number } {
  const [element, setElement] = useState<HTMLElement | null>(null);
  const [first, setFirst] = useState(0);
  const rows = Math.ceil(window.innerHeight / rowPx) + 2 * MARGIN;
  const isLong = length > WHOLE;
  useEffect(() => {
    if (!isLong || element === null) return;
    const look = (): void => {
      const above = Math.floor(-element.getBoundingClientRect().top / rowPx) - MARGIN;
      // In steps, so that not every line that is scrolled by renders.
      setFirst(Math.max(0, Math.min(length - rows, Math.floor(above / MARGIN) * MARGIN)));
    };
    look();
    addEventListener('scroll', look, { passive: true, capture: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look, { capture: true });
      removeEventListener('resize', look);
    };
  }, [isLong, element, length, rows, rowPx]);
  const ref = useCallback((found: HTMLElement | null) => setElement(found), []);
  return isLong
    ? { ref, first, last: Math.min(length, first + rows + MARGIN) }
    : { ref, first: 0, last: length };
}
