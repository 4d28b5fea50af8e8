// Whoever signed in without a second factor can only enrol one: take them there, whatever page they opened.
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (...body) {
  this.addEventListener("load", () => {
    if (this.getResponseHeader("x-second-factor") === "missing") location.assign("./api/mfa-setup/");
  });
  return send.apply(this, body);
};
