// SPDX-License-Identifier: Apache-2.0

/// @file
/// A range of the C library's structs, which may be longer than its header
/// said when this program was compiled.

#ifndef WM_ELEMENTS_HPP
#define WM_ELEMENTS_HPP

#include <cstddef>
#include <iterator>

namespace wm
{

/// Structs in a row, each as long as the library made it. It owns none of them.
template <class Struct>
class elements
{
public:
    /// Goes from one struct to the next.
    class iterator
    {
    public:
        using iterator_category = std::forward_iterator_tag;
        using value_type = Struct;
        using difference_type = std::ptrdiff_t;
        using pointer = const Struct *;
        using reference = const Struct &;

        iterator() noexcept = default;
        iterator(const void *at, std::size_t size) noexcept
            : at_(static_cast<const std::byte *>(at)), size_(size)
        {
        }
        reference operator*() const noexcept { return *operator->(); }
        pointer operator->() const noexcept
        {
            return static_cast<pointer>(static_cast<const void *>(at_));
        }
        iterator &operator++() noexcept
        {
            at_ += size_;
            return *this;
        }
        iterator operator++(int) noexcept
        {
            iterator was = *this;

            ++*this;
            return was;
        }
        bool operator==(const iterator &) const noexcept = default;

    private:
        const std::byte *at_ = nullptr;
        std::size_t size_ = 0;
    };

    elements() noexcept = default;
    /// first: the first of `count` structs, each of `size` bytes.
    elements(const Struct *first, std::size_t count, std::size_t size) noexcept
        : first_(first), count_(count), size_(size)
    {
    }
    /// The first one.
    iterator begin() const noexcept { return iterator(first_, size_); }
    /// The end, behind the last one.
    iterator end() const noexcept
    {
        return iterator(reinterpret_cast<const std::byte *>(first_) +
                            count_ * size_,
                        size_);
    }
    /// One of them; i: less than size().
    const Struct &operator[](std::size_t i) const noexcept
    {
        return *iterator(
            reinterpret_cast<const std::byte *>(first_) + i * size_, size_);
    }
    /// How many there are.
    std::size_t size() const noexcept { return count_; }
    /// Whether there is none.
    bool empty() const noexcept { return count_ == 0; }

private:
    const Struct *first_ = nullptr;
    std::size_t count_ = 0;
    std::size_t size_ = 0;
};

} // namespace wm

#endif
