import { Button } from '@carbon/react';
import { Component, type ErrorInfo, type ReactNode } from 'react';

interface Props {
  readonly children: ReactNode;
  /** Where the person is: going elsewhere tries again. */
  readonly place?: string;
}

interface State {
  readonly error: Error | undefined;
}

/** Shows what went wrong in a part of the page, in its place, and lets the rest live. */
export class ErrorBoundary extends Component<Props, State> {
  override state: State = { error: undefined };

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override componentDidCatch(error: Error, { componentStack }: ErrorInfo): void {
    console.error(error, componentStack);
  }

  override componentDidUpdate({ place }: Props): void {
    if (place !== this.props.place && this.state.error !== undefined) this.setState({ error: undefined });
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <section className="broken" role="alert">
        <h1>This page has failed</h1>
        <p>That is a fault of the console: the gateways and their tunnels are not affected by it.</p>
        <pre>{error.message}</pre>
        <Button onClick={() => this.setState({ error: undefined })}>Try again</Button>{' '}
        <Button kind="secondary" onClick={() => location.assign('/console/')}>
          Load the console again
        </Button>
      </section>
    );
  }
}
