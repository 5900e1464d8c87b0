import './style.css';
import { home } from './home';
import { Library } from './library';
import { studio } from './studio';
import { Uploads } from './upload';
import { watch } from './watch';

const main = document.getElementById('main');
if (!main) throw new Error('the page has no main part');

const library = new Library();
// One for the life of the tab: uploads go on while a video is watched.
const uploads = new Uploads();
let leave: () => void = () => undefined;
let first = true;

function route(): void {
  leave();
  const [, page, id] = location.hash.split('/');
  if (page === 'watch' && id) leave = watch(main!, library, id);
  else if (page === 'live' && id) leave = studio(main!, library, id);
  else leave = home(main!, library, uploads);
  // Whoever reads by ear starts at the new page; nobody is dragged there at the first load.
  if (!first) main!.focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
  first = false;
}

addEventListener('hashchange', route);
library.connect();
route();
