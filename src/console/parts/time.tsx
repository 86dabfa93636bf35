import { type ReactNode, useEffect, useState } from 'react';

const DATE = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'medium',
  timeZone: 'UTC',
});

/** `14:32:05`, in the time of the browser. */
export function clockTime(at: Date): string {
  return at.toLocaleTimeString('en-GB');
}

/** A point in time as it is logged: UTC, to the second. */
export function utc(at: string): string {
  return `${DATE.format(new Date(at))} UTC`;
}

/** The two largest units: `42 s`, `3 min 5 s`, `6 h 37 min`, `12 d 4 h`. */
export function duration(milliseconds: number): string {
  const total = Math.max(0, Math.round(milliseconds / 1000));
  const [days, hours] = [Math.floor(total / 86_400), Math.floor(total / 3600) % 24];
  const [minutes, seconds] = [Math.floor(total / 60) % 60, total % 60];
  if (days > 0) return hours === 0 ? `${days} d` : `${days} d ${hours} h`;
  if (hours > 0) return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`;
  if (minutes > 0) return seconds === 0 ? `${minutes} min` : `${minutes} min ${seconds} s`;
  return `${seconds} s`;
}

/** How long ago, or in how long; the exact time is in its title. It moves by itself. */
export function Ago({ at }: { readonly at: string }): ReactNode {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const length = now - Date.parse(at);
  return (
    <time dateTime={at} title={utc(at)}>
      {length >= 0 ? `${duration(length)} ago` : `in ${duration(-length)}`}
    </time>
  );
}
