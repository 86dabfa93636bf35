import { Observed, useObserved } from '../api/observed.ts';

/** Dark or light, as the system has it unless the person has chosen. */
export type Theme = 'light' | 'dark';

const KEY = 'culvert-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');
const current = new Observed(themeNow());

function themeNow(): Theme {
  const chosen = localStorage.getItem(KEY);
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return dark.matches ? 'dark' : 'light';
}

function apply(): void {
  const theme = themeNow();
  // Before those who follow it: charts read their colours from the page.
  document.documentElement.dataset.theme = theme;
  current.value = theme;
}

/** Puts the theme into effect, and keeps it in step with the system and with other tabs. */
export function beginTheme(): void {
  apply();
  dark.addEventListener('change', apply);
  addEventListener('storage', ({ key }) => {
    if (key === KEY) apply();
  });
}

/** Chooses a theme for this browser. */
export function chooseTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  apply();
}

/** The theme, for components. */
export function useTheme(): Theme {
  return useObserved(current);
}
