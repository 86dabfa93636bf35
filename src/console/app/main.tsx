import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Router } from 'wouter';
import { ApiFailure } from '../api/client.ts';
import { App } from './app.tsx';
import { ErrorBoundary } from './error-boundary.tsx';
import './styles.scss';
import { beginTheme } from './theme.ts';

beginTheme();

/** What refuses once refuses again; what cannot be reached may be there in a moment. */
function mayComeBack(failures: number, error: Error): boolean {
  return error instanceof ApiFailure && (error.status === 0 || error.status >= 500) && failures < 2;
}

const client = new QueryClient({
  defaultOptions: {
    queries: { retry: mayComeBack, staleTime: 5000, networkMode: 'always' },
    mutations: { retry: false, networkMode: 'always' },
  },
});

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <ErrorBoundary>
      <QueryClientProvider client={client}>
        <Router base="/console">
          <App />
        </Router>
      </QueryClientProvider>
    </ErrorBoundary>
  </StrictMode>,
);
