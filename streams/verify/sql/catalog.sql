-- Which events there are, what features take them for, and what their properties say.
CREATE OR REPLACE TABLE catalog (name VARCHAR, effect VARCHAR, facts VARCHAR);
INSERT INTO catalog VALUES
    ('page', 'page', 'none'),
    ('screen', 'screen', 'none'),
    ('identify', 'identify', 'none'),
    ('group', 'identify', 'none'),
    ('alias', 'identify', 'none'),
    ('Products Searched', 'search', 'none'),
    ('Product List Viewed', 'view', 'none'),
    ('Product List Filtered', 'view', 'none'),
    ('Product Clicked', 'view', 'product'),
    ('Product Viewed', 'view', 'product'),
    ('Product Added', 'cart', 'product'),
    ('Product Removed', 'cart', 'product'),
    ('Wishlist Product Added to Cart', 'cart', 'product'),
    ('Cart Viewed', 'cart', 'none'),
    ('Checkout Started', 'checkout', 'order'),
    ('Checkout Step Viewed', 'checkout', 'none'),
    ('Checkout Step Completed', 'checkout', 'none'),
    ('Payment Info Entered', 'checkout', 'none'),
    ('Product Added to Wishlist', 'other', 'product'),
    ('Product Removed from Wishlist', 'other', 'product'),
    ('Product Shared', 'other', 'product'),
    ('Product Reviewed', 'other', 'product'),
    ('Email Delivered', 'message', 'none'),
    ('Email Bounced', 'message', 'none'),
    ('Order Completed', 'order', 'order'),
    ('Order Updated', 'update', 'none'),
    ('Order Refunded', 'refund', 'refund'),
    ('Order Cancelled', 'order_cancel', 'none'),
    ('Subscription Started', 'sub_start', 'subscription'),
    ('Subscription Created', 'sub_start', 'subscription'),
    ('Subscription Renewed', 'sub_renew', 'subscription'),
    ('Subscription Updated', 'update', 'none'),
    ('Subscription Paused', 'update', 'none'),
    ('Subscription Resumed', 'update', 'none'),
    ('Subscription Cancelled', 'sub_cancel', 'subscription'),
    ('Subscription Expired', 'sub_cancel', 'subscription'),
    ('Payment Succeeded', 'payment_ok', 'none'),
    ('Payment Failed', 'payment_failed', 'none'),
    ('Payment Method Updated', 'update', 'none'),
    ('Charge Failed', 'payment_failed', 'none'),
    ('Charge Max Tries Reached', 'payment_failed', 'none'),
    ('Conversation Completed', 'conversation', 'conversation');
-- Every other track call is browsing of another kind ('other', 'none').

CREATE OR REPLACE MACRO catalog_name(name) AS
    CASE name WHEN 'Order Canceled' THEN 'Order Cancelled'
              WHEN 'Subscription Canceled' THEN 'Subscription Cancelled'
              ELSE name END;
