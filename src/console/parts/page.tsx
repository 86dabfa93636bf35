import { Breadcrumb, BreadcrumbItem } from '@carbon/react';
import { type ReactNode, useEffect } from 'react';
import { Link } from 'wouter';

/** A page's way to it, its title, and what can be done there. */
export function PageHead({
  title,
  trail = [],
  actions,
  children,
}: {
  readonly title: string;
  /** Pages above this one. */
  readonly trail?: readonly (readonly [path: string, title: string])[];
  readonly actions?: ReactNode;
  /** A line below the title. */
  readonly children?: ReactNode;
}): ReactNode {
  useEffect(() => {
    document.title = `${title} – Culvert`;
  }, [title]);
  return (
    <header className="page-head">
      {trail.length === 0 ? null : (
        <Breadcrumb noTrailingSlash aria-label="Way to this page">
          {trail.map(([path, name]) => (
            <BreadcrumbItem key={path}>
              <Link href={path}>{name}</Link>
            </BreadcrumbItem>
          ))}
        </Breadcrumb>
      )}
      <div className="page-title">
        <h1>{title}</h1>
        <div className="page-actions">{actions}</div>
      </div>
      {children}
    </header>
  );
}

/** A part of a page under its own heading. */
export function Section({
  title,
  actions,
  children,
}: {
  readonly title: string;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <section className="section" aria-label={title}>
      <div className="section-head">
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** A text in which what is between backticks is for a command line or a file. */
export function Words({ text }: { readonly text: string }): ReactNode {
  const parts = text.split('`');
  // biome-ignore lint/suspicious/noArrayIndexKey: parts of one text have no other name, and never move
  return parts.map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}

/** Names and their values, in as many columns as there is room for. */
export function Facts({
  facts,
}: {
  readonly facts: readonly (readonly [name: string, value: ReactNode])[];
}): ReactNode {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
