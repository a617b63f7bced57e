// A body of 64 KiB from a string that lives as long as the app.
const line = "The quick brown fox jumps over the lazy dog, again and again...\n";
const body = line.repeat(1024);

export default {
  fetch() {
    return new Response(body);
  },
};
