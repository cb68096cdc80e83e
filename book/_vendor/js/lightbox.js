// A picture of the book opens over the page when it is clicked, at all its pixels; PhotoSwipe is
// loaded with the first.
{
  const folder = new URL('../photoswipe/', document.currentScript.src).href;
  const PICTURES = '.bd-article figure img, .bd-article .cell_output img, .bd-article .sd-card img';

  let loading;
  function load() {
    loading ??= new Promise((resolve, reject) => {
      const style = document.createElement('link');
      Object.assign(style, { rel: 'stylesheet', href: `${folder}photoswipe.css` });
      const script = document.createElement('script');
      Object.assign(script, { src: `${folder}photoswipe.umd.min.js`, onload: resolve, onerror: reject });
      document.head.append(style, script);
    });
    return loading;
  }

  async function open(pictures, index) {
    await load();
    // pictures further down may not be loaded yet, but state their size
    const dataSource = pictures.map(({ src, alt, naturalWidth, naturalHeight, width, height }) => ({
      src, alt, width: naturalWidth || width, height: naturalHeight || height,
    }));
    new self.PhotoSwipe({ dataSource, index, bgOpacity: 0.9, loop: false }).init();
  }

  document.addEventListener('DOMContentLoaded', () => {
    const pictures = [...document.querySelectorAll(PICTURES)];
    pictures.forEach((picture, index) => {
      let link = picture.closest('a');
      if (!link) {
        link = document.createElement('a'); // works without the rest of this script, too
        link.href = picture.src;
        picture.replaceWith(link);
        link.append(picture);
      }
      link.classList.add('enlarge');
      link.addEventListener('click', (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        open(pictures, index);
      });
    });
  });
}
